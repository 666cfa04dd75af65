// SPDX-License-Identifier: Apache-2.0
// The sixteen conditions of Jcc, SETcc and CMOVcc. SDM 2, appendix "Condition Test Encodings".
#pragma once

#include <Zydis/Zydis.h>

#include <array>
#include <utility>

#include "cpu/flags.h"
#include "cpu/insn.h"

namespace postern::cpu {

enum class Condition : u8 { o, no, b, nb, z, nz, be, nbe, s, ns, p, np, l, nl, le, nle };
inline constexpr unsigned condition_count = 16;

/// Even conditions are the tests, odd ones their negations.
template <Condition condition>
inline bool holds(const Cpu& c) {
    constexpr auto number = static_cast<unsigned>(condition);
    if constexpr (number % 2 == 1) {
        return !holds<static_cast<Condition>(number - 1)>(c);
    } else {
        switch (condition) {
            case Condition::o: return of(c);
            case Condition::b: return cf(c);
            case Condition::z: return zf(c);
            case Condition::be: return cf(c) || zf(c);
            case Condition::s: return sf(c);
            case Condition::p: return pf(c);
            case Condition::l: return sf(c) != of(c);
            default: return zf(c) || sf(c) != of(c);
        }
    }
}

/// The condition of a Jcc, SETcc or CMOVcc mnemonic.
Condition condition_of(ZydisMnemonic mnemonic);

/// f.template operator()<condition>() for a condition known at decode time.
template <class F, size_t... n>
Handler by_condition(Condition condition, F f, std::index_sequence<n...>) {
    using Make = Handler (*)(F&);
    static constexpr std::array<Make, condition_count> make{
        [](F& g) -> Handler { return g.template operator()<static_cast<Condition>(n)>(); }...};
    return make[static_cast<size_t>(condition)](f);
}
template <class F>
Handler by_condition(Condition condition, F f) {
    return by_condition(condition, f, std::make_index_sequence<condition_count>{});
}

}  // namespace postern::cpu
