// SPDX-License-Identifier: Apache-2.0
// Compares what came of a case on both sides: every register, flag and byte of memory that the
// manual does not leave open.
#pragma once

#include <string>

#include "silicon/group.h"

namespace postern::silicon {

std::string disassembly(const Decoded& d, u64 rip);

/// Where the two differ, in words.
class Difference {
public:
    Difference(const Case& k, const Outcome& native, const Outcome& ours, const Open& open);
    [[nodiscard]] bool agree() const { return text_.empty(); }
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    void compare_fault(const Outcome& native, const Outcome& ours);
    void compare_x87(const X87& before, const X87& native, const X87& ours, const Open& open);
    void number(const char* what, u64 before, u64 native, u64 ours);
    void bytes(const char* what, size_t index, const u8* native, const u8* ours, size_t count);
    std::string text_;
};

/// What the group of the instruction leaves open.
Open left_open(const Case& k, const Decoded& d);

Vendor host_vendor();

/// Why this host may differ from Intel's processors here; null: it may not.
const char* vendor_difference(const Case& k, const Decoded& d, const Outcome& host);

}  // namespace postern::silicon
