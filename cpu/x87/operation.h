// SPDX-License-Identifier: Apache-2.0
// One x87 instruction in software, on a copy of the state that is put back at its end. A masked
// exception gives a result, an unmasked one leaves the operands as they were.
#pragma once

#include "cpu/x87/extended.h"
#include "cpu/x87/unit.h"

namespace postern::cpu {

/// ST(n), and whether it is empty.
Extended register_of(const X87State& state, unsigned n);
bool is_empty(const X87State& state, unsigned n);

class Operation {
public:
    explicit Operation(Cpu& c) : c_{c}, state_{guest_x87(c)} { set_condition(fsw_c1, false); }
    ~Operation() { set_guest_x87(c_, state_); }
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

    [[nodiscard]] Extended st(unsigned n) const { return register_of(state_, n); }
    [[nodiscard]] bool is_empty(unsigned n) const { return cpu::is_empty(state_, n); }
    void put(unsigned n, Extended value);
    void push(Extended value);
    void pop();
    void set_condition(u16 bits, bool value);

    /// Flags into the status word. True: all of them are masked.
    bool signal(u16 flags);
    /// The value rounded, with what that sets in the status word.
    Extended rounded(Wide value);

private:
    void turn(unsigned by);

    Cpu& c_;
    X87State state_;
};

}  // namespace postern::cpu
