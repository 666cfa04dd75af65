// SPDX-License-Identifier: Apache-2.0
// The common part of the typed views of VMCS words: one integer, entered and left by name.
#pragma once

#include "base/bits.h"
#include "base/types.h"

namespace postern {

/// `Self` derives from RawView<Self, Word> and adds accessors and builders.
template <class Self, class Word>
class RawView {  // NOLINT(bugprone-crtp-constructor-accessibility): Self{} is the zero word
public:
    static constexpr Self from_raw(Word raw) {
        Self self;
        self.RawView::raw_ = raw;
        return self;
    }
    [[nodiscard]] constexpr Word to_raw() const { return raw_; }

    friend constexpr bool operator==(RawView, RawView) = default;

protected:
    template <unsigned high, unsigned low>
    [[nodiscard]] constexpr u32 field() const {
        static_assert(high - low < 32);
        return static_cast<u32>(bits<high, low>(raw_));
    }
    template <unsigned position>
    [[nodiscard]] constexpr bool flag() const {
        return bit<position>(raw_);
    }
    template <unsigned high, unsigned low>
    [[nodiscard]] constexpr Self with_field(u64 value) const {
        return from_raw(static_cast<Word>(with_bits<high, low>(raw_, value)));
    }
    template <unsigned position>
    [[nodiscard]] constexpr Self with_flag(bool on) const {
        return with_field<position, position>(on ? 1 : 0);
    }

private:
    Word raw_ = 0;
};

}  // namespace postern
