// SPDX-License-Identifier: Apache-2.0
// MOV and its relatives: extensions, LEA, XCHG, BSWAP, sign conversions, flag instructions, NOP.
#include <algorithm>

#include "cpu/decode/instruction_table.h"
#include "cpu/exec/build.h"
#include "cpu/exec/operand.h"
#include "cpu/exec/system.h"
#include "cpu/flags.h"

namespace postern::cpu {
namespace {

template <class T>
Step mov_reg_reg(Cpu& c, const Insn* i) {
    put<T>(c, i->dst, get<T>(c, i->src));
    NEXT(c, i);
}
template <class T>
Step mov_reg_imm(Cpu& c, const Insn* i) {
    put<T>(c, i->dst, static_cast<T>(i->imm));
    NEXT(c, i);
}

/// Load of a From, extended to a To.
template <class To, class From, bool is_signed>
To extended(From value) {
    if constexpr (is_signed)
        return static_cast<To>(sign_extended(value));
    else
        return static_cast<To>(value);
}

template <class To, class From, bool is_signed>
Step load_slow(Cpu& c, const Insn* i) {
    const Result<u64> value = slow_load<From>(c, i, linear_address(c, *i));
    if (!value) return fault_at(c, i);
    put<To>(c, i->dst, extended<To, From, is_signed>(static_cast<From>(value.value())));
    NEXT(c, i);
}
template <class To, class From, bool is_signed>
Step load_fast(Cpu& c, const Insn* i) {
    const u8* p = hit<From, &TlbEntry::read>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<load_slow<To, From, is_signed>, Access::read, sizeof(From)>(c, i);
    put<To>(c, i->dst, extended<To, From, is_signed>(read_host<From>(p)));
    NEXT(c, i);
}
template <class To, class From, bool is_signed>
Step extend_reg(Cpu& c, const Insn* i) {
    put<To>(c, i->dst, extended<To, From, is_signed>(get<From>(c, i->src)));
    NEXT(c, i);
}

template <class T, bool immediate>
T stored(const Cpu& c, const Insn* i) {
    if constexpr (immediate)
        return static_cast<T>(i->imm);
    else
        return get<T>(c, i->src);
}
template <class T, bool immediate>
Step store_slow(Cpu& c, const Insn* i) {
    const u64 epoch = c.code_epoch;
    const Result<> done = slow_store<T>(c, i, linear_address(c, *i), stored<T, immediate>(c, i));
    if (!done) return fault_at(c, i);
    NEXT_AFTER_STORE(c, i, epoch);
}
template <class T, bool immediate>
Step store_fast(Cpu& c, const Insn* i) {
    u8* p = hit<T, &TlbEntry::write>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<store_slow<T, immediate>, Access::write, sizeof(T)>(c, i);
    write_host<T>(p, stored<T, immediate>(c, i));
    NEXT(c, i);
}

/// MOV AL/AX/EAX/RAX, moffs: the 64-bit address is the immediate.
Gva moffs_address(const Cpu& c, const Insn& i) {
    return Gva{static_cast<u64>(i.imm) + c.gpr[i.segment]};
}
Result<> load_moffs(Cpu& c, const Insn& i) {
    put_sized(c, rax, size_of(i), TRY(load(c, moffs_address(c, i), size_of(i))));
    return Done{};
}
Result<> store_moffs(Cpu& c, const Insn& i) {
    return store(c, moffs_address(c, i), size_of(i), get_sized(c, rax, size_of(i)));
}

bool is_moffs(const Decoded& d, unsigned n) {
    const ZydisDecodedOperandMem& m = d.operand[n].mem;
    return d.is_memory(n) && m.base == ZYDIS_REGISTER_NONE && m.index == ZYDIS_REGISTER_NONE &&
           m.disp.value != static_cast<i32>(m.disp.value);
}

bool is_class(const Decoded& d, unsigned n, ZydisRegisterClass wanted) {
    return d.is_register(n) && ZydisRegisterGetClass(d.operand[n].reg.value) == wanted;
}
u8 number_of(const Decoded& d, unsigned n) {
    return static_cast<u8>(ZydisRegisterGetId(d.operand[n].reg.value));
}

/// MOV with a control, debug or segment register on one side.
Handler build_mov_system(const Decoded& d, Insn& i) {
    for (const unsigned n : {0u, 1u}) {
        const bool to = n == 0;
        const bool control = is_class(d, n, ZYDIS_REGCLASS_CONTROL);
        const bool debug = is_class(d, n, ZYDIS_REGCLASS_DEBUG);
        const bool segment = is_class(d, n, ZYDIS_REGCLASS_SEGMENT);
        if (!control && !debug && !segment) continue;
        (to ? i.dst : i.src) = number_of(d, n);
        const unsigned other = 1 - n;
        if (d.is_register(other)) (to ? i.src : i.dst) = register_row(d.operand[other].reg.value);
        if (control) return to ? ends_block<exec_mov_to_cr> : ends_block<exec_mov_from_cr>;
        if (debug) return to ? ends_block<exec_mov_to_dr> : ends_block<exec_mov_from_dr>;
        if (to && (d.mode & mode_enclave) != 0) return undefined_instruction;
        return to ? ends_block<exec_mov_to_sreg> : inside_block<exec_mov_from_sreg>;
    }
    return nullptr;
}

template <bool is_signed>
Handler build_extension(const Decoded& d, Insn& i) {
    i.dst = register_row(d.operand[0].reg.value);
    if (d.is_register(1)) i.src = register_row(d.operand[1].reg.value);
    return by_size(d.size(0), [&](auto to) -> Handler {
        using To = decltype(to);
        // MOVSXD r16, r/m16: Zydis says 32 bits of the source. SDM 2A, "MOVSX/MOVSXD".
        return by_size(std::min(d.size(0), d.size(1)), [&](auto from) -> Handler {
            using From = decltype(from);
            if constexpr (sizeof(From) > sizeof(To) || sizeof(To) == 1) return nullptr;
            if (d.is_register(1)) return extend_reg<To, From, is_signed>;
            return fast_or_slow(i, load_fast<To, From, is_signed>, load_slow<To, From, is_signed>);
        });
    });
}

Step lea64(Cpu& c, const Insn* i) {
    c.gpr[i->dst] = c.gpr[i->base] + (c.gpr[i->index] << i->scale) + static_cast<u64>(i64{i->disp});
    NEXT(c, i);
}
template <class T>
Step lea_any(Cpu& c, const Insn* i) {
    put<T>(c, i->dst, static_cast<T>(effective_address(c, *i)));
    NEXT(c, i);
}

template <class T>
Step xchg_reg(Cpu& c, const Insn* i) {
    const T a = get<T>(c, i->dst);
    put<T>(c, i->dst, get<T>(c, i->src));
    put<T>(c, i->src, a);
    NEXT(c, i);
}
Result<> xchg_mem(Cpu& c, const Insn& i) {
    const u64 old = TRY(read_for_write(c, i, i.dst));
    TRY(write_operand(c, i, i.dst, get_sized(c, i.src, size_of(i))));
    put_sized(c, i.src, size_of(i), old);
    return Done{};
}

template <class T>
Step xchg_mem_fast(Cpu& c, const Insn* i) {
    u8* p = hit<T, &TlbEntry::write>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<inside_block<xchg_mem>, Access::write, sizeof(T)>(c, i);
    const T old = read_host<T>(p);
    write_host<T>(p, get<T>(c, i->src));
    put<T>(c, i->src, old);
    NEXT(c, i);
}

template <class T>
Step bswap(Cpu& c, const Insn* i) {
    // A 16-bit BSWAP is undefined; 0 is what Intel's processors give (docs/model-defined.md).
    const u64 swapped = __builtin_bswap64(c.gpr[i->dst]);
    if constexpr (sizeof(T) == 2)
        put<u16>(c, i->dst, 0);
    else
        put<T>(c, i->dst, static_cast<T>(swapped >> (64 - 8 * sizeof(T))));
    NEXT(c, i);
}

template <class From, class To>
Step convert_a(Cpu& c, const Insn* i) {
    put<To>(c, rax, static_cast<To>(sign_extended(get<From>(c, rax))));
    NEXT(c, i);
}
template <class T>
Step convert_d(Cpu& c, const Insn* i) {
    const bool negative = (get<T>(c, rax) >> (8 * sizeof(T) - 1) & 1) != 0;
    put<T>(c, rdx, static_cast<T>(negative ? ~u64{0} : 0));
    NEXT(c, i);
}

Step clc(Cpu& c, const Insn* i) {
    set_cf(c, false);
    NEXT(c, i);
}
Step stc(Cpu& c, const Insn* i) {
    set_cf(c, true);
    NEXT(c, i);
}
Step cmc(Cpu& c, const Insn* i) {
    set_cf(c, !cf(c));
    NEXT(c, i);
}
Step cld(Cpu& c, const Insn* i) {
    c.flags.set(Rflag::df, false);
    NEXT(c, i);
}
Step std_(Cpu& c, const Insn* i) {
    c.flags.set(Rflag::df, true);
    NEXT(c, i);
}

constexpr u64 ah_flags = 0xd5;  // SF ZF AF PF CF
Step lahf(Cpu& c, const Insn* i) {
    put<u8>(c, 1, static_cast<u8>((materialise(c) & ah_flags) | rflags_fixed_one));
    NEXT(c, i);
}
Step sahf(Cpu& c, const Insn* i) {
    from_image(c, (materialise(c) & ~ah_flags) | (get<u8>(c, 1) & ah_flags));
    NEXT(c, i);
}

Step nop(Cpu& c, const Insn* i) { NEXT(c, i); }

/// AL from the table at DS:[RBX]. SDM 2D, "XLAT/XLATB".
Result<> xlat(Cpu& c, const Insn& i) {
    u64 effective = c.gpr[rbx] + get<u8>(c, rax);
    if ((i.form & form_address32) != 0) effective = static_cast<u32>(effective);
    const u64 value = TRY(load(c, Gva{effective + c.gpr[i.segment]}, 1));
    put<u8>(c, rax, static_cast<u8>(value));
    return Done{};
}

/// CLFLUSH, CLFLUSHOPT and CLWB fault as a load of its byte would; there is no cache to flush. SDM
/// 2A, "CLFLUSH".
Result<> flush_line(Cpu& c, const Insn& i) {
    TRY(translate(c, linear_address(c, i), Access::read));
    return Done{};
}

}  // namespace

Handler build_mov(const Decoded& d, Insn& i, BlockCache&) {
    if (const Handler system = build_mov_system(d, i)) return system;
    if (is_moffs(d, 0) || is_moffs(d, 1)) {
        const bool to_memory = is_moffs(d, 0);
        i.imm = d.operand[to_memory ? 0 : 1].mem.disp.value;
        return to_memory ? inside_block<store_moffs> : inside_block<load_moffs>;
    }
    if (d.is_register(0)) i.dst = register_row(d.operand[0].reg.value);
    if (d.is_register(1)) i.src = register_row(d.operand[1].reg.value);
    if (d.is_immediate(1)) i.imm = d.operand[1].imm.value.s;
    return by_size(d.size(0), [&](auto t) -> Handler {
        using T = decltype(t);
        if (d.is_register(0)) {
            if (d.is_register(1)) return mov_reg_reg<T>;
            if (d.is_immediate(1)) return mov_reg_imm<T>;
            return fast_or_slow(i, load_fast<T, T, false>, load_slow<T, T, false>);
        }
        if (d.is_register(1)) return fast_or_slow(i, store_fast<T, false>, store_slow<T, false>);
        return fast_or_slow(i, store_fast<T, true>, store_slow<T, true>);
    });
}

Handler build_movzx(const Decoded& d, Insn& i, BlockCache&) { return build_extension<false>(d, i); }
Handler build_movsx(const Decoded& d, Insn& i, BlockCache&) { return build_extension<true>(d, i); }

Handler build_lea(const Decoded& d, Insn& i, BlockCache&) {
    i.dst = register_row(d.operand[0].reg.value);
    i.segment = row_zero;
    return by_size(d.size(0), [&](auto t) -> Handler {
        using T = decltype(t);
        if constexpr (sizeof(T) == 8) return fast_or_slow(i, lea64, lea_any<T>);
        return lea_any<T>;
    });
}

Handler build_xchg(const Decoded& d, Insn& i, BlockCache&) {
    // Zydis puts the memory operand first or second, as the assembler would print it.
    const unsigned memory = d.is_memory(1) ? 1 : 0;
    const unsigned other = 1 - memory;
    i.src = register_row(d.operand[other].reg.value);
    if (d.is_memory(memory))
        return by_size(d.size(0), [&](auto t) -> Handler {
            return fast_or_slow(i, xchg_mem_fast<decltype(t)>, inside_block<xchg_mem>);
        });
    i.dst = register_row(d.operand[memory].reg.value);
    return by_size(d.size(0), [](auto t) -> Handler { return xchg_reg<decltype(t)>; });
}

Handler build_bswap(const Decoded& d, Insn& i, BlockCache&) {
    i.dst = register_row(d.operand[0].reg.value);
    return by_size(d.size(0), [](auto t) -> Handler { return bswap<decltype(t)>; });
}

Handler build_convert_a(const Decoded& d, Insn&, BlockCache&) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_CBW: return convert_a<u8, u16>;
        case ZYDIS_MNEMONIC_CWDE: return convert_a<u16, u32>;
        default: return convert_a<u32, u64>;
    }
}
Handler build_convert_d(const Decoded& d, Insn&, BlockCache&) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_CWD: return convert_d<u16>;
        case ZYDIS_MNEMONIC_CDQ: return convert_d<u32>;
        default: return convert_d<u64>;
    }
}

Handler build_flag(const Decoded& d, Insn&, BlockCache&) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_CLC: return clc;
        case ZYDIS_MNEMONIC_STC: return stc;
        case ZYDIS_MNEMONIC_CMC: return cmc;
        case ZYDIS_MNEMONIC_CLD: return cld;
        default: return std_;
    }
}
Handler build_ah_flags(const Decoded& d, Insn&, BlockCache&) {
    return d.instruction.mnemonic == ZYDIS_MNEMONIC_LAHF ? lahf : sahf;
}

Handler build_xlat(const Decoded&, Insn&, BlockCache&) { return inside_block<xlat>; }

Handler build_nop(const Decoded& d, Insn&, BlockCache&) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_CLFLUSH:
        case ZYDIS_MNEMONIC_CLFLUSHOPT:
        case ZYDIS_MNEMONIC_CLWB: return inside_block<flush_line>;
        default: return nop;
    }
}

}  // namespace postern::cpu
