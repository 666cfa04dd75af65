// SPDX-License-Identifier: Apache-2.0
// SIMD instructions in blocks: the thunk itself where all operands are registers, else a handler
// that finds the memory operand first. Insn::aux is then the thunk; of VEX-encoded instructions,
// always the VexOperands.
#include <bit>
#include <span>

#include "base/bits.h"
#include "cpu/event/event.h"
#include "cpu/exec/build.h"
#include "cpu/exec/fast.h"
#include "cpu/simd/operand_buffer.h"
#include "cpu/simd/thunk.h"
#include "cpu/simd/vex_thunk.h"
#include "cpu/x87/build.h"
#include "cpu/x87/unit.h"

namespace postern::cpu {
namespace {

// Where the thunk is.
struct Legacy {
    static MemoryThunk thunk(const Insn* i) { return thunk_of(i); }
};
struct Vex {
    static MemoryThunk thunk(const Insn* i) {
        return reinterpret_cast<MemoryThunk>(const_cast<void*>(vex_operands(*i).thunk));
    }
};

/// A memory operand: its size, whether its address must be a multiple of that, and whether what is
/// stored is computed, and its exceptions are known, before the operand is looked at.
template <class Encoding, unsigned count, bool is_checked = false, bool is_computed = false>
struct VectorOperand : Encoding {
    std::array<u8, count> bytes;
    static constexpr unsigned size = count;
    static constexpr bool computed = is_computed;
    static bool is_misaligned(u64 linear) { return is_checked && linear % size != 0; }
};

struct alignas(32) Buffer {
    std::array<u8, 32> bytes;
};

// Slow forms.

template <class T>
Step from_memory_slow(Cpu& c, const Insn* i) {
    const Gva at = linear_address(c, *i);
    if (T::is_misaligned(at.raw())) return misaligned(c, i);
    Buffer buffer{};
    c.budget += i->remaining;
    const Result<> loaded = load_operand(c, at, buffer.bytes.data(), T::size);
    c.budget -= i->remaining;
    if (!loaded) return fault_at(c, i);
    if (const Step step = run_apart(c, i, T::thunk(i), buffer.bytes.data()); step != Step::next)
        return step;
    NEXT(c, i);
}

template <class T>
Step to_memory_slow(Cpu& c, const Insn* i) {
    const u64 epoch = c.code_epoch;
    const Gva at = linear_address(c, *i);
    if (T::is_misaligned(at.raw())) return misaligned(c, i);
    if constexpr (!T::computed) {
        if (!probe_write(c, at, T::size)) return fault_at(c, i);
        if (!check_alignment(c, at, checked_alignment(T::size))) return fault_at(c, i);
    }
    Buffer buffer{};
    if (const Step step = run_apart(c, i, T::thunk(i), buffer.bytes.data()); step != Step::next)
        return step;
    c.budget += i->remaining;
    const Result<> stored = store_operand(c, at, buffer.bytes.data(), T::size);
    c.budget -= i->remaining;
    if (!stored) return fault_at(c, i);
    NEXT_AFTER_STORE(c, i, epoch);
}

// Fast forms. A page of the guest is a page of the host, so alignment is the same in both.

template <class T, Access access, Handler slow>
Step with_memory(Cpu& c, const Insn* i) {
    constexpr auto tag = access == Access::write ? &TlbEntry::write : &TlbEntry::read;
    const u64 at = fast_linear(c, i);
    if (T::is_misaligned(at)) [[unlikely]]
        TAIL misaligned(c, i);
    u8* p = hit<T, tag>(c, at);
    if (p == nullptr) [[unlikely]]
        TAIL miss<slow, access, sizeof(T)>(c, i);
    return T::thunk(i)(c, i, p);  // of another type than the handlers, still a jump
}

template <class T>
Handler pick(const Insn& i, bool is_store) {
    if (is_store) {
        return fast_or_slow(i, with_memory<T, Access::write, to_memory_slow<T>>, to_memory_slow<T>);
    }
    return fast_or_slow(i, with_memory<T, Access::read, from_memory_slow<T>>, from_memory_slow<T>);
}

template <class Encoding>
Handler pick_by_size(const Insn& i, unsigned size, bool is_aligned, bool is_store) {
    switch (size) {
        case 1: return pick<VectorOperand<Encoding, 1>>(i, is_store);
        case 2: return pick<VectorOperand<Encoding, 2>>(i, is_store);
        case 4: return pick<VectorOperand<Encoding, 4>>(i, is_store);
        case 8: return pick<VectorOperand<Encoding, 8>>(i, is_store);
        case 16:
            return is_aligned ? pick<VectorOperand<Encoding, 16, true>>(i, is_store)
                              : pick<VectorOperand<Encoding, 16>>(i, is_store);
        default: return nullptr;
    }
}

Handler pick_vex_by_size(const Insn& i, unsigned size, bool is_aligned, bool is_store) {
    if (size != 32) return pick_by_size<Vex>(i, size, is_aligned, is_store);
    return is_aligned ? pick<VectorOperand<Vex, 32, true>>(i, is_store)
                      : pick<VectorOperand<Vex, 32>>(i, is_store);
}

/// VCVTPS2PH, the only one that computes what it stores: one whose store faults has set its flags
/// in MXCSR. SDM 2D has no order for them; it is what Intel's processors do.
Handler pick_computed_store(const Insn& i, unsigned size) {
    return size == 8 ? pick<VectorOperand<Vex, 8, false, true>>(i, true)
                     : pick<VectorOperand<Vex, 16, false, true>>(i, true);
}

/// Legacy-encoded instructions want their 16-byte operands aligned, but for these. SDM 2A,
/// "Exceptions Type 4" and the instructions themselves.
constexpr bool takes_any_address(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
        case ZYDIS_MNEMONIC_LDDQU:
        case ZYDIS_MNEMONIC_MOVDQU:
        case ZYDIS_MNEMONIC_MOVUPD:
        case ZYDIS_MNEMONIC_MOVUPS:
        case ZYDIS_MNEMONIC_PCMPESTRI:
        case ZYDIS_MNEMONIC_PCMPESTRM:
        case ZYDIS_MNEMONIC_PCMPISTRI:
        case ZYDIS_MNEMONIC_PCMPISTRM: return true;
        default: return false;
    }
}

/// VEX-encoded instructions take any address, but for these. SDM 2A, "Exceptions Type 1".
constexpr bool is_aligned_vex(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
        case ZYDIS_MNEMONIC_VMOVAPD:
        case ZYDIS_MNEMONIC_VMOVAPS:
        case ZYDIS_MNEMONIC_VMOVDQA:
        case ZYDIS_MNEMONIC_VMOVNTDQ:
        case ZYDIS_MNEMONIC_VMOVNTDQA:
        case ZYDIS_MNEMONIC_VMOVNTPD:
        case ZYDIS_MNEMONIC_VMOVNTPS: return true;
        default: return false;
    }
}

/// The bytes of `data` whose byte in `mask` has bit 7 set, to DS:[RDI]. A mask of zeros touches
/// nothing. SDM 2B, "MASKMOVDQU".
Result<> store_masked(Cpu& c, const Insn& i, std::span<const u8> data, std::span<const u8> mask) {
    u32 selected = 0;
    for (size_t n = 0; n < mask.size(); ++n) selected |= static_cast<u32>(mask[n] >> 7) << n;
    if (selected == 0) return Done{};
    const auto first = static_cast<unsigned>(std::countr_zero(selected));
    const auto end = static_cast<unsigned>(std::bit_width(selected));
    const Gva at = linear_address(c, i);
    TRY(probe_write(c, at + first, end - first));
    for (unsigned n = first; n < end; ++n)
        if ((selected >> n & 1) != 0) TRY(store(c, at + n, 1, data[n]));
    return Done{};
}

Result<> exec_maskmovdqu(Cpu& c, const Insn& i) {
    return store_masked(c, i, std::span{c.vector.zmm[i.dst].bytes}.first<16>(),
                        std::span{c.vector.zmm[i.src].bytes}.first<16>());
}

/// SDM 2B, "MASKMOVQ".
Result<> exec_maskmovq(Cpu& c, const Insn& i) {
    TRY(prepare_x87(c));
    const X87State state = guest_x87(c);
    const auto mmx = [&](unsigned n) {
        return std::span{state.st[(n - top_of(state.fsw)) % 8]}.first<8>();
    };
    TRY(store_masked(c, i, mmx(i.dst), mmx(i.src)));
    use_as_mmx();
    return Done{};
}

Handler build_masked_store(const Decoded& d, Insn& i) {
    // The operand is implicit; the decoder has looked after its segment only.
    i.dst = static_cast<u8>(ZydisRegisterGetId(d.operand[0].reg.value));
    i.src = static_cast<u8>(ZydisRegisterGetId(d.operand[1].reg.value));
    i.base = rdi;
    i.index = row_zero;
    i.disp = 0;
    return uses_mmx(d) ? inside_block<exec_maskmovq> : inside_block<exec_maskmovdqu>;
}

}  // namespace

Handler build_simd(const Decoded& d, Insn& i, BlockCache&) {
    const bool masked_store = d.instruction.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU ||
                              d.instruction.mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU ||
                              d.instruction.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ;
    if (masked_store) return build_masked_store(d, i);
    if (!is_simd_exact(d.instruction.mnemonic)) return nullptr;
    const bool unit = uses_mmx(d);
    const Thunk thunk = find_thunk(d, unit);
    if (thunk.code == nullptr) return nullptr;
    take_simd_registers(d, i);
    for (unsigned n = 0; n < d.instruction.operand_count_visible; ++n) {
        if (!d.is_memory(n)) continue;
        i.aux = thunk.code;
        const bool aligned = !takes_any_address(d.instruction.mnemonic);
        return unit ? pick_unit_memory(i, d.size(n), aligned, n == 0)
                    : pick_by_size<Legacy>(i, d.size(n), aligned, n == 0);
    }
    if (unit) i.aux = thunk.code;
    return reinterpret_cast<Handler>(const_cast<void*>(thunk.entry));
}

Handler build_vex(const Decoded& d, Insn& i, BlockCache& cache) {
    const void* thunk = find_vex_thunk(d);
    if (thunk == nullptr) return nullptr;
    VexOperands* operands = make_vex_operands(d, cache);
    operands->thunk = thunk;
    i.aux = operands;
    for (unsigned n = 0; n < d.instruction.operand_count_visible; ++n) {
        if (!d.is_memory(n)) continue;
        if (d.instruction.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH && n == 0)
            return pick_computed_store(i, d.size(n));
        return pick_vex_by_size(i, d.size(n), is_aligned_vex(d.instruction.mnemonic), n == 0);
    }
    return reinterpret_cast<Handler>(const_cast<void*>(thunk));
}

}  // namespace postern::cpu
