// SPDX-License-Identifier: Apache-2.0
// Lines of text put together in a buffer of fixed size. Too long a line is cut.
#pragma once

#include "base/types.h"

namespace postern::guests {

class Line {
public:
    Line& operator<<(const char* text) {
        while (*text != '\0') put(*text++);
        return *this;
    }
    Line& operator<<(u64 number) {
        char digits[20];
        u32 count = 0;
        do digits[count++] = static_cast<char>('0' + number % 10);
        while ((number /= 10) != 0);
        while (count > 0) put(digits[--count]);
        return *this;
    }
    Line& hex(u64 number) {
        u32 shift = 60;
        while (shift > 0 && number >> shift == 0) shift -= 4;
        for (;; shift -= 4) {
            put_digit(number >> shift);
            if (shift == 0) return *this;
        }
    }
    Line& bytes(const u8* from, u64 count) {
        for (u64 i = 0; i < count; ++i) {
            put_digit(from[i] >> 4);
            put_digit(from[i]);
        }
        return *this;
    }

    Line& append(const Line& other) {
        for (u64 i = 0; i < other.length_; ++i) put(other.text_[i]);
        return *this;
    }

    [[nodiscard]] const char* text() const { return text_; }
    [[nodiscard]] u64 length() const { return length_; }

private:
    void put(char c) {
        if (length_ < sizeof text_) text_[length_++] = c;
    }
    void put_digit(u64 digit) { put("0123456789abcdef"[digit & 15]); }

    char text_[192];
    u64 length_ = 0;
};

}  // namespace postern::guests
