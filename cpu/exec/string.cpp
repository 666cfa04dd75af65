// SPDX-License-Identifier: Apache-2.0
// String instructions. With REP each iteration retires by itself: it counts as one instruction
// and ends at an instruction boundary, so a time slice may end between two iterations with RCX,
// RSI and RDI committed and RIP on the instruction. So does a store to a device, of which an
// interrupt may come. Status flags are committed with the last iteration only: a fault finds those
// from before the instruction, and so does whatever comes between two iterations. SDM 2B,
// "REP/REPE/REPZ/REPNE/REPNZ"; the latter is what Intel's processors do.
#include "cpu/exec/build.h"
#include "cpu/exec/operand.h"
#include "cpu/flags.h"

namespace postern::cpu {
namespace {

u64 address_mask(const Insn& i) { return (i.form & form_address32) != 0 ? 0xffff'ffff : ~u64{0}; }

Gva source(const Cpu& c, const Insn& i) {
    return Gva{(c.gpr[rsi] & address_mask(i)) + c.gpr[i.segment]};
}
Gva destination(const Cpu& c, const Insn& i) { return Gva{c.gpr[rdi] & address_mask(i)}; }

u64 step_of(const Cpu& c, unsigned size) {
    return c.flags.has(Rflag::df) ? 0 - u64{size} : u64{size};
}
/// With 32-bit addresses the upper halves are cleared. SDM 1, "Address-Size Attribute".
void advance(Cpu& c, const Insn& i, u8 which, u64 by) {
    c.gpr[which] = (c.gpr[which] + by) & address_mask(i);
}

struct Movs {
    static constexpr bool compares = false, copies = true;
    template <class T>
    static Result<> once(Cpu& c, const Insn& i) {
        const u64 value = TRY(load(c, source(c, i), sizeof(T)));
        TRY(store(c, destination(c, i), sizeof(T), value));
        advance(c, i, rsi, step_of(c, sizeof(T)));
        advance(c, i, rdi, step_of(c, sizeof(T)));
        return Done{};
    }
};
struct Stos {
    static constexpr bool compares = false, copies = true;
    template <class T>
    static Result<> once(Cpu& c, const Insn& i) {
        TRY(store(c, destination(c, i), sizeof(T), get<T>(c, rax)));
        advance(c, i, rdi, step_of(c, sizeof(T)));
        return Done{};
    }
};
struct Lods {
    static constexpr bool compares = false, copies = false;
    template <class T>
    static Result<> once(Cpu& c, const Insn& i) {
        const u64 value = TRY(load(c, source(c, i), sizeof(T)));
        put<T>(c, rax, static_cast<T>(value));
        advance(c, i, rsi, step_of(c, sizeof(T)));
        return Done{};
    }
};
struct Scas {
    static constexpr bool compares = true, copies = false;
    template <class T>
    static Result<> once(Cpu& c, const Insn& i) {
        const auto b = static_cast<T>(TRY(load(c, destination(c, i), sizeof(T))));
        const T a = get<T>(c, rax);
        set_sub_flags(c, a, b, static_cast<T>(a - b));
        advance(c, i, rdi, step_of(c, sizeof(T)));
        return Done{};
    }
};
/// The manual does not say which operand is read first; Intel's processors read that of RDI.
struct Cmps {
    static constexpr bool compares = true, copies = false;
    template <class T>
    static Result<> once(Cpu& c, const Insn& i) {
        const auto b = static_cast<T>(TRY(load(c, destination(c, i), sizeof(T))));
        const auto a = static_cast<T>(TRY(load(c, source(c, i), sizeof(T))));
        set_sub_flags(c, a, b, static_cast<T>(a - b));
        advance(c, i, rsi, step_of(c, sizeof(T)));
        advance(c, i, rdi, step_of(c, sizeof(T)));
        return Done{};
    }
};

u64 smaller(u64 a, u64 b) { return a < b ? a : b; }

template <class T>
u64 elements_in_page(Gva at) {
    return (page_size - at.offset()) / sizeof(T);
}

template <class T>
u64 many_movs(Cpu& c, const Insn& i, u64 limit) {
    const Gva from = source(c, i);
    const Gva to = destination(c, i);
    const u64 n = smaller(limit, smaller(elements_in_page<T>(from), elements_in_page<T>(to)));
    const u8* p = hit<T, &TlbEntry::read>(c, from.raw());
    u8* q = hit<T, &TlbEntry::write>(c, to.raw());
    if (n < 2 || p == nullptr || q == nullptr) return 0;
    // A destination that begins inside the source repeats it: element by element.
    const auto distance = static_cast<u64>(q - p);
    if (distance < n * sizeof(T)) return 0;
    std::memmove(q, p, n * sizeof(T));
    advance(c, i, rsi, n * sizeof(T));
    advance(c, i, rdi, n * sizeof(T));
    return n;
}

template <class T>
u64 many_stos(Cpu& c, const Insn& i, u64 limit) {
    const Gva to = destination(c, i);
    const u64 n = smaller(limit, elements_in_page<T>(to));
    u8* q = hit<T, &TlbEntry::write>(c, to.raw());
    if (n < 2 || q == nullptr) return 0;
    const T value = get<T>(c, rax);
    if constexpr (sizeof(T) == 1) {
        std::memset(q, value, n);
    } else {
        for (u64 k = 0; k < n; ++k) write_host<T>(q + k * sizeof(T), value);
    }
    advance(c, i, rdi, n * sizeof(T));
    return n;
}

/// As many forward iterations as fit into plain memory of the pages at hand; 0: one by one.
template <class Op, class T>
u64 run_many(Cpu& c, const Insn& i, u64 limit) {
    if (c.flags.has(Rflag::df) || (i.form & form_address32) != 0) return 0;
    if constexpr (std::is_same_v<Op, Movs>) return many_movs<T>(c, i, limit);
    if constexpr (std::is_same_v<Op, Stos>) return many_stos<T>(c, i, limit);
    return 0;
}

/// After an iteration of a comparing instruction: does its prefix end the loop?
template <class Op>
bool ended_by_flags(const Cpu& c, const Insn& i) {
    if constexpr (!Op::compares) return false;
    return zf(c) != ((i.form & form_repne) == 0);
}

/// With 32-bit addresses the count's upper half is cleared even if there is no iteration, or none
/// that completes; so are those of the addresses of MOVS and STOS. The manual does not say so: it
/// is what Intel's processors do.
template <class Op>
void clear_upper_halves(Cpu& c, u64 mask) {
    c.gpr[rcx] &= mask;
    if constexpr (Op::copies) c.gpr[rdi] &= mask;
    if constexpr (std::is_same_v<Op, Movs>) c.gpr[rsi] &= mask;
}

template <class Op>
Step between_iterations(Cpu& c, const KeptFlags& before) {
    if constexpr (Op::compares) restore_flags(c, before);
    return Step::stop;
}

template <class Op>
Step fault_of_iteration(Cpu& c, const Insn& i, const KeptFlags& before) {
    if constexpr (Op::compares) restore_flags(c, before);
    clear_upper_halves<Op>(c, address_mask(i));
    note_exit_length(c, i);
    return Step::fault;
}

template <class Op, class T>
Step repeated(Cpu& c, const Insn* i) {
    c.rip = address_of(c, i);
    c.budget += i->remaining;  // the last of its block: 1
    const u64 mask = address_mask(*i);
    const KeptFlags before = keep_flags(c);
    bool first = true;
    while ((c.gpr[rcx] & mask) != 0) {
        if (c.budget <= 0 || c.recheck) {
            c.event.repeating = !first;
            return between_iterations<Op>(c, before);
        }
        const u64 count = c.gpr[rcx] & mask;
        u64 n = run_many<Op, T>(c, *i, smaller(count, static_cast<u64>(c.budget)));
        if (n == 0) {
            if (!Op::template once<T>(c, *i)) return fault_of_iteration<Op>(c, *i, before);
            n = 1;
        }
        c.gpr[rcx] = count - n;
        c.budget -= static_cast<i64>(n);
        first = false;
        if (ended_by_flags<Op>(c, *i)) break;
    }
    if (first) {
        clear_upper_halves<Op>(c, mask);
        c.budget -= 1;  // no iteration: still one instruction
    }
    c.rip += i->length;
    return c.recheck ? Step::stop : Step::lookup;
}

template <class Op, class T>
Result<> single(Cpu& c, const Insn& i) {
    return Op::template once<T>(c, i);
}

template <class Op>
Handler pick(unsigned size, bool repeat) {
    return by_size(size, [&](auto t) -> Handler {
        using T = decltype(t);
        return repeat ? Handler{repeated<Op, T>} : Handler{inside_block<single<Op, T>>};
    });
}

struct StringRow {
    ZydisMnemonic mnemonic;
    unsigned size;
    Handler (*pick)(unsigned size, bool repeat);
};

constexpr std::array rows{
    StringRow{ZYDIS_MNEMONIC_MOVSB, 1, pick<Movs>}, StringRow{ZYDIS_MNEMONIC_MOVSW, 2, pick<Movs>},
    StringRow{ZYDIS_MNEMONIC_MOVSD, 4, pick<Movs>}, StringRow{ZYDIS_MNEMONIC_MOVSQ, 8, pick<Movs>},
    StringRow{ZYDIS_MNEMONIC_STOSB, 1, pick<Stos>}, StringRow{ZYDIS_MNEMONIC_STOSW, 2, pick<Stos>},
    StringRow{ZYDIS_MNEMONIC_STOSD, 4, pick<Stos>}, StringRow{ZYDIS_MNEMONIC_STOSQ, 8, pick<Stos>},
    StringRow{ZYDIS_MNEMONIC_LODSB, 1, pick<Lods>}, StringRow{ZYDIS_MNEMONIC_LODSW, 2, pick<Lods>},
    StringRow{ZYDIS_MNEMONIC_LODSD, 4, pick<Lods>}, StringRow{ZYDIS_MNEMONIC_LODSQ, 8, pick<Lods>},
    StringRow{ZYDIS_MNEMONIC_SCASB, 1, pick<Scas>}, StringRow{ZYDIS_MNEMONIC_SCASW, 2, pick<Scas>},
    StringRow{ZYDIS_MNEMONIC_SCASD, 4, pick<Scas>}, StringRow{ZYDIS_MNEMONIC_SCASQ, 8, pick<Scas>},
    StringRow{ZYDIS_MNEMONIC_CMPSB, 1, pick<Cmps>}, StringRow{ZYDIS_MNEMONIC_CMPSW, 2, pick<Cmps>},
    StringRow{ZYDIS_MNEMONIC_CMPSD, 4, pick<Cmps>}, StringRow{ZYDIS_MNEMONIC_CMPSQ, 8, pick<Cmps>},
};

}  // namespace

Handler build_string(const Decoded& d, Insn& i, BlockCache&) {
    for (const StringRow& row : rows) {
        if (row.mnemonic != d.instruction.mnemonic) continue;
        const bool repeat = (i.form & (form_rep | form_repne)) != 0;
        return row.pick(row.size, repeat);
    }
    return nullptr;
}

Handler build_string_or_simd(const Decoded& d, Insn& i, BlockCache& cache) {
    return d.instruction.meta.category == ZYDIS_CATEGORY_STRINGOP ? build_string(d, i, cache)
                                                                  : build_simd(d, i, cache);
}

}  // namespace postern::cpu
