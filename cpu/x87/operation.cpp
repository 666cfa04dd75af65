// SPDX-License-Identifier: Apache-2.0
// The register stack in software.
#include "cpu/x87/operation.h"

#include <cstring>

#include "cpu/x87/environment.h"

namespace postern::cpu {

namespace {

unsigned physical(const X87State& state, unsigned n) { return (top_of(state.fsw) + n) % 8; }

}  // namespace

Extended register_of(const X87State& state, unsigned n) {
    Extended value{};
    std::memcpy(&value.significand, state.st[n].data(), sizeof value.significand);
    std::memcpy(&value.sign_exponent, state.st[n].data() + 8, sizeof value.sign_exponent);
    return value;
}

bool is_empty(const X87State& state, unsigned n) {
    return (state.tag >> physical(state, n) & 1) == 0;
}

void Operation::put(unsigned n, Extended value) {
    std::memcpy(state_.st[n].data(), &value.significand, sizeof value.significand);
    std::memcpy(state_.st[n].data() + 8, &value.sign_exponent, sizeof value.sign_exponent);
    state_.tag = static_cast<u8>(state_.tag | 1u << physical(state_, n));
}

void Operation::turn(unsigned by) {
    constexpr u16 top = 7u << 11;
    const unsigned turned = (top_of(state_.fsw) + by) % 8;
    state_ = with_fsw(state_, static_cast<u16>((state_.fsw & ~top) | turned << 11));
}

void Operation::push(Extended value) {
    turn(7);
    put(0, value);
}

void Operation::pop() {
    state_.tag = static_cast<u8>(state_.tag & ~(1u << physical(state_, 0)));
    turn(1);
}

void Operation::set_condition(u16 bits, bool value) {
    state_.fsw = static_cast<u16>(value ? state_.fsw | bits : state_.fsw & ~bits);
}

bool Operation::signal(u16 flags) {
    state_.fsw = usable_fsw(state_.fsw | flags, state_.fcw);
    return (flags & ~state_.fcw & x87_exceptions) == 0;
}

Extended Operation::rounded(Wide value) {
    const Rounded r = round_to_extended(value, state_.fcw);
    set_condition(fsw_c1, r.up);
    signal(r.flags);
    return r.value;
}

}  // namespace postern::cpu
