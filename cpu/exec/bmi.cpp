// SPDX-License-Identifier: Apache-2.0
// BMI1 and BMI2: VEX-encoded instructions on general registers, up to two sources and a
// destination, and MOVBE. The r/m operand is memory or the register in Insn::base; VEX.vvvv is in
// Insn::src. 32 and 64 bits only.
#include <bit>

#include "cpu/exec/build.h"
#include "cpu/flags.h"

namespace postern::cpu {
namespace {

__extension__ typedef unsigned __int128 u128;  // NOLINT: __extension__ takes no alias

// Each operation: the result of the r/m operand `m` and VEX.vvvv `v`, and the flags. SDM 2A and 2B,
// the instruction of the same name. AF and PF are left open: docs/model-defined.md.

struct Andn {
    template <class T>
    static T apply(Cpu& c, const Insn&, T m, T v) {
        const T r = static_cast<T>(~v & m);
        set_logic_flags(c, r);
        return r;
    }
};
struct Bextr {
    template <class T>
    static T apply(Cpu& c, const Insn&, T m, T v) {
        const unsigned start = v & 0xff, length = v >> 8 & 0xff;
        const u64 shifted = start < width_of<T> ? u64{m} >> start : 0;
        const u64 mask = length < 64 ? (u64{1} << length) - 1 : ~u64{0};
        const T r = static_cast<T>(shifted & mask);
        set_logic_flags(c, r);
        return r;
    }
};
struct Blsi {
    template <class T>
    static T apply(Cpu& c, const Insn&, T m, T) {
        const T r = static_cast<T>((0 - m) & m);
        set_logic_flags(c, r);
        set_cf_of(c, m != 0, false);
        return r;
    }
};
struct Blsmsk {
    template <class T>
    static T apply(Cpu& c, const Insn&, T m, T) {
        const T r = static_cast<T>((m - 1) ^ m);
        set_logic_flags(c, r);
        set_cf_of(c, m == 0, false);
        return r;
    }
};
struct Blsr {
    template <class T>
    static T apply(Cpu& c, const Insn&, T m, T) {
        const T r = static_cast<T>((m - 1) & m);
        set_logic_flags(c, r);
        set_cf_of(c, m == 0, false);
        return r;
    }
};
struct Bzhi {
    template <class T>
    static T apply(Cpu& c, const Insn&, T m, T v) {
        const unsigned from = v & 0xff;
        const bool beyond = from >= width_of<T>;
        const T r = beyond ? m : static_cast<T>(m & ((T{1} << from) - 1));
        set_logic_flags(c, r);
        set_cf_of(c, beyond, false);
        return r;
    }
};
/// RDX times m: the low half to VEX.vvvv, the high one to the destination, which wins if they are
/// one register.
struct Mulx {
    template <class T>
    static T apply(Cpu& c, const Insn& i, T m, T) {
        const u128 product = u128{get<T>(c, rdx)} * m;
        put<T>(c, i.src, static_cast<T>(product));
        return static_cast<T>(product >> width_of<T>);
    }
};
struct Pdep {
    template <class T>
    static T apply(Cpu&, const Insn&, T m, T v) {
        T r = 0;
        for (; m != 0; m &= static_cast<T>(m - 1), v >>= 1)
            if ((v & 1) != 0) r |= static_cast<T>(m & (0 - m));
        return r;
    }
};
struct Pext {
    template <class T>
    static T apply(Cpu&, const Insn&, T m, T v) {
        T r = 0;
        for (T bit = 1; m != 0; m &= static_cast<T>(m - 1), bit = static_cast<T>(bit << 1))
            if ((v & m & (0 - m)) != 0) r |= bit;
        return r;
    }
};
struct Rorx {
    template <class T>
    static T apply(Cpu&, const Insn& i, T m, T) {
        return std::rotr(m, static_cast<int>(i.imm & (width_of<T> - 1)));
    }
};
struct Sarx {
    template <class T>
    static T apply(Cpu&, const Insn&, T m, T v) {
        return static_cast<T>(static_cast<i64>(sign_extended(m)) >> (v & (width_of<T> - 1)));
    }
};
struct Shlx {
    template <class T>
    static T apply(Cpu&, const Insn&, T m, T v) {
        return static_cast<T>(m << (v & (width_of<T> - 1)));
    }
};
struct Shrx {
    template <class T>
    static T apply(Cpu&, const Insn&, T m, T v) {
        return static_cast<T>(m >> (v & (width_of<T> - 1)));
    }
};

template <class Op, class T>
Step from_reg(Cpu& c, const Insn* i) {
    const T r = Op::template apply<T>(c, *i, get<T>(c, i->base), get<T>(c, i->src));
    put<T>(c, i->dst, r);
    NEXT(c, i);
}
template <class Op, class T>
Step from_mem_slow(Cpu& c, const Insn* i) {
    const Result<u64> m = slow_load<T>(c, i, linear_address(c, *i));
    if (!m) return fault_at(c, i);
    const T r = Op::template apply<T>(c, *i, static_cast<T>(m.value()), get<T>(c, i->src));
    put<T>(c, i->dst, r);
    NEXT(c, i);
}
template <class Op, class T>
Step from_mem(Cpu& c, const Insn* i) {
    const u8* p = hit<T, &TlbEntry::read>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<from_mem_slow<Op, T>, Access::read, sizeof(T)>(c, i);
    const T r = Op::template apply<T>(c, *i, read_host<T>(p), get<T>(c, i->src));
    put<T>(c, i->dst, r);
    NEXT(c, i);
}

/// Registers by where the encoding keeps them: the order of operands differs.
bool take_vex_registers(const Decoded& d, Insn& i) {
    bool from_memory = true;
    i.src = row_zero;
    i.dst = register_row(d.operand[0].reg.value);
    for (unsigned n = 0; n < d.instruction.operand_count_visible; ++n) {
        if (d.is_immediate(n)) i.imm = static_cast<i64>(d.operand[n].imm.value.u);
        if (!d.is_register(n)) continue;
        const u8 row = register_row(d.operand[n].reg.value);
        if (d.operand[n].encoding == ZYDIS_OPERAND_ENCODING_NDSNDD) i.src = row;
        if (d.operand[n].encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM) continue;
        i.base = row;
        from_memory = false;
    }
    return from_memory;
}

template <class Op, class T>
Handler pick(const Insn& i, bool from_memory) {
    if (!from_memory) return from_reg<Op, T>;
    return fast_or_slow(i, from_mem<Op, T>, from_mem_slow<Op, T>);
}

template <class Op>
Handler build_three(const Decoded& d, Insn& i) {
    const bool from_memory = take_vex_registers(d, i);
    return d.size(0) == 8 ? pick<Op, u64>(i, from_memory) : pick<Op, u32>(i, from_memory);
}

// MOVBE: a load or store with its bytes reversed.

template <class T>
T reversed(T value) {
    return static_cast<T>(__builtin_bswap64(value) >> (64 - width_of<T>));
}

template <class T>
Step movbe_load_slow(Cpu& c, const Insn* i) {
    const Result<u64> value = slow_load<T>(c, i, linear_address(c, *i));
    if (!value) return fault_at(c, i);
    put<T>(c, i->dst, reversed(static_cast<T>(value.value())));
    NEXT(c, i);
}
template <class T>
Step movbe_load(Cpu& c, const Insn* i) {
    const u8* p = hit<T, &TlbEntry::read>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<movbe_load_slow<T>, Access::read, sizeof(T)>(c, i);
    put<T>(c, i->dst, reversed(read_host<T>(p)));
    NEXT(c, i);
}
template <class T>
Step movbe_store_slow(Cpu& c, const Insn* i) {
    const u64 epoch = c.code_epoch;
    if (!slow_store<T>(c, i, linear_address(c, *i), reversed(get<T>(c, i->src))))
        return fault_at(c, i);
    NEXT_AFTER_STORE(c, i, epoch);
}
template <class T>
Step movbe_store(Cpu& c, const Insn* i) {
    u8* p = hit<T, &TlbEntry::write>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<movbe_store_slow<T>, Access::write, sizeof(T)>(c, i);
    write_host<T>(p, reversed(get<T>(c, i->src)));
    NEXT(c, i);
}

}  // namespace

Handler build_bmi(const Decoded& d, Insn& i, BlockCache&) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_ANDN: return build_three<Andn>(d, i);
        case ZYDIS_MNEMONIC_BEXTR: return build_three<Bextr>(d, i);
        case ZYDIS_MNEMONIC_BLSI: return build_three<Blsi>(d, i);
        case ZYDIS_MNEMONIC_BLSMSK: return build_three<Blsmsk>(d, i);
        case ZYDIS_MNEMONIC_BLSR: return build_three<Blsr>(d, i);
        case ZYDIS_MNEMONIC_BZHI: return build_three<Bzhi>(d, i);
        case ZYDIS_MNEMONIC_MULX: return build_three<Mulx>(d, i);
        case ZYDIS_MNEMONIC_PDEP: return build_three<Pdep>(d, i);
        case ZYDIS_MNEMONIC_PEXT: return build_three<Pext>(d, i);
        case ZYDIS_MNEMONIC_RORX: return build_three<Rorx>(d, i);
        case ZYDIS_MNEMONIC_SARX: return build_three<Sarx>(d, i);
        case ZYDIS_MNEMONIC_SHLX: return build_three<Shlx>(d, i);
        case ZYDIS_MNEMONIC_SHRX: return build_three<Shrx>(d, i);
        default: return nullptr;
    }
}

Handler build_movbe(const Decoded& d, Insn& i, BlockCache&) {
    if (d.is_register(0)) i.dst = register_row(d.operand[0].reg.value);
    if (d.is_register(1)) i.src = register_row(d.operand[1].reg.value);
    return by_size(d.size(0), [&](auto t) -> Handler {
        using T = decltype(t);
        if (d.is_register(0)) return fast_or_slow(i, movbe_load<T>, movbe_load_slow<T>);
        return fast_or_slow(i, movbe_store<T>, movbe_store_slow<T>);
    });
}

}  // namespace postern::cpu
