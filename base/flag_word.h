// SPDX-License-Identifier: Apache-2.0
// A control word: one integer whose bits have names. The names are an enum class of bit
// positions, so that a bit of CR0 cannot be asked of CR4.
#pragma once

#include <initializer_list>

#include "base/types.h"

namespace postern {

template <class Bit, class Word = u64>
class FlagWord {
public:
    constexpr FlagWord() = default;
    constexpr FlagWord(std::initializer_list<Bit> bits) {
        for (const Bit b : bits) raw_ |= mask(b);
    }
    static constexpr FlagWord from_raw(Word raw) {
        FlagWord word;
        word.raw_ = raw;
        return word;
    }

    [[nodiscard]] constexpr Word to_raw() const { return raw_; }
    [[nodiscard]] constexpr bool has(Bit bit) const { return (raw_ & mask(bit)) != 0; }
    [[nodiscard]] constexpr bool has_any(FlagWord bits) const { return (raw_ & bits.raw_) != 0; }
    [[nodiscard]] constexpr bool has_all(FlagWord bits) const {
        return (raw_ & bits.raw_) == bits.raw_;
    }
    [[nodiscard]] constexpr FlagWord with(Bit bit, bool on = true) const {
        const Word on_word = static_cast<Word>(raw_ | mask(bit));
        return from_raw(on ? on_word : static_cast<Word>(raw_ & ~mask(bit)));
    }
    [[nodiscard]] constexpr FlagWord without(FlagWord bits) const {
        return from_raw(static_cast<Word>(raw_ & ~bits.raw_));
    }
    constexpr void set(Bit bit, bool on = true) { *this = with(bit, on); }

    friend constexpr FlagWord operator|(FlagWord a, FlagWord b) {
        return from_raw(static_cast<Word>(a.raw_ | b.raw_));
    }
    friend constexpr FlagWord operator&(FlagWord a, FlagWord b) {
        return from_raw(static_cast<Word>(a.raw_ & b.raw_));
    }
    friend constexpr bool operator==(FlagWord, FlagWord) = default;

private:
    static constexpr Word mask(Bit bit) {
        return static_cast<Word>(Word{1} << static_cast<unsigned>(bit));
    }

    Word raw_ = 0;
};

}  // namespace postern
