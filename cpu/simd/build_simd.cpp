// SPDX-License-Identifier: Apache-2.0
// SIMD instructions in blocks: the thunk itself where all operands are registers, else a handler
// that finds the memory operand first. Insn::aux is then the thunk.
#include <bit>

#include "base/bits.h"
#include "cpu/event/event.h"
#include "cpu/exec/build.h"
#include "cpu/exec/fast.h"
#include "cpu/simd/thunk.h"

namespace postern::cpu {
namespace {

/// A memory operand: its size, and whether its address must be a multiple of 16.
template <unsigned count, bool is_checked>
struct Operand {
    std::array<u8, count> bytes;
    static constexpr unsigned size = count;
    static constexpr bool aligned = is_checked;
};

MemoryThunk thunk_of(const Insn* i) {
    return reinterpret_cast<MemoryThunk>(const_cast<void*>(i->aux));
}

bool is_misaligned(u64 linear) { return linear % 16 != 0; }

/// SDM 1, "Memory Alignment" of 128-bit operands: #GP(0) whatever the segment.
[[gnu::cold]] Step misaligned(Cpu& c, const Insn* i) {
    (void)general_protection(c);
    return fault_at(c, i);
}

// Slow forms. The operand goes through a buffer, and the thunk runs on a copy of the Insn, whose
// successor hands control back.

Step back(Cpu&, const Insn*) { return Step::next; }

Step run_apart(Cpu& c, const Insn* i, void* memory) {
    std::array<Insn, 2> pair{*i, *i};
    pair[1].run = back;
    return thunk_of(i)(c, pair.data(), memory);
}

/// Chunks as a device sees them.
constexpr unsigned chunk(unsigned size) { return size < 8 ? size : 8; }

Result<> load_operand(Cpu& c, Gva at, u8* to, unsigned size) {
    for (unsigned done = 0; done < size; done += chunk(size)) {
        const u64 value = TRY(load(c, at + done, chunk(size)));
        std::memcpy(to + done, &value, chunk(size));
    }
    return Done{};
}

Result<> store_operand(Cpu& c, Gva at, const u8* from, unsigned size) {
    if (size > 8 && !probe_write(c, at, size)) return Failed{};
    for (unsigned done = 0; done < size; done += chunk(size)) {
        u64 value = 0;
        std::memcpy(&value, from + done, chunk(size));
        if (!store(c, at + done, chunk(size), value)) return Failed{};
    }
    return Done{};
}

template <class T>
Step from_memory_slow(Cpu& c, const Insn* i) {
    const Gva at = linear_address(c, *i);
    if (T::aligned && is_misaligned(at.raw())) return misaligned(c, i);
    alignas(16) std::array<u8, 16> buffer{};
    c.budget += i->remaining;
    const Result<> loaded = load_operand(c, at, buffer.data(), T::size);
    c.budget -= i->remaining;
    if (!loaded) return fault_at(c, i);
    if (const Step step = run_apart(c, i, buffer.data()); step != Step::next) return step;
    NEXT(c, i);
}

template <class T>
Step to_memory_slow(Cpu& c, const Insn* i) {
    const u64 epoch = c.code_epoch;
    const Gva at = linear_address(c, *i);
    if (T::aligned && is_misaligned(at.raw())) return misaligned(c, i);
    alignas(16) std::array<u8, 16> buffer{};
    if (const Step step = run_apart(c, i, buffer.data()); step != Step::next) return step;
    c.budget += i->remaining;
    const Result<> stored = store_operand(c, at, buffer.data(), T::size);
    c.budget -= i->remaining;
    if (!stored) return fault_at(c, i);
    NEXT_AFTER_STORE(c, i, epoch);
}

// Fast forms. A page of the guest is a page of the host, so alignment is the same in both.

template <class T, Access access, Handler slow>
Step with_memory(Cpu& c, const Insn* i) {
    constexpr auto tag = access == Access::write ? &TlbEntry::write : &TlbEntry::read;
    const u64 at = fast_linear(c, i);
    if (T::aligned && is_misaligned(at)) [[unlikely]]
        TAIL misaligned(c, i);
    u8* p = hit<T, tag>(c, at);
    if (p == nullptr) [[unlikely]]
        TAIL miss<slow, access, sizeof(T)>(c, i);
    return thunk_of(i)(c, i, p);  // of another type than the handlers, still a jump
}

template <class T>
Handler pick(const Insn& i, bool is_store) {
    if (is_store) {
        return fast_or_slow(i, with_memory<T, Access::write, to_memory_slow<T>>, to_memory_slow<T>);
    }
    return fast_or_slow(i, with_memory<T, Access::read, from_memory_slow<T>>, from_memory_slow<T>);
}

Handler pick_by_size(const Insn& i, unsigned size, bool is_aligned, bool is_store) {
    switch (size) {
        case 1: return pick<Operand<1, false>>(i, is_store);
        case 2: return pick<Operand<2, false>>(i, is_store);
        case 4: return pick<Operand<4, false>>(i, is_store);
        case 8: return pick<Operand<8, false>>(i, is_store);
        case 16:
            return is_aligned ? pick<Operand<16, true>>(i, is_store)
                              : pick<Operand<16, false>>(i, is_store);
        default: return nullptr;
    }
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

/// The bytes of dst whose mask byte in src has bit 7 set, to DS:[RDI]. A mask of zeros touches
/// nothing. SDM 2B, "MASKMOVDQU".
Result<> exec_maskmovdqu(Cpu& c, const Insn& i) {
    const std::array<u8, 64>& data = c.vector.zmm[i.dst].bytes;
    const std::array<u8, 64>& mask = c.vector.zmm[i.src].bytes;
    u32 selected = 0;
    for (unsigned n = 0; n < 16; ++n) selected |= static_cast<u32>(mask[n] >> 7) << n;
    if (selected == 0) return Done{};
    const auto first = static_cast<unsigned>(std::countr_zero(selected));
    const auto end = static_cast<unsigned>(std::bit_width(selected));
    const Gva at = linear_address(c, i);
    TRY(probe_write(c, at + first, end - first));
    for (unsigned n = first; n < end; ++n)
        if ((selected >> n & 1) != 0) TRY(store(c, at + n, 1, data[n]));
    return Done{};
}

Handler build_maskmovdqu(const Decoded& d, Insn& i) {
    // The operand is implicit; the decoder has looked after its segment only.
    take_simd_registers(d, i);
    i.base = rdi;
    i.index = row_zero;
    i.disp = 0;
    return inside_block<exec_maskmovdqu>;
}

}  // namespace

Handler build_simd(const Decoded& d, Insn& i, BlockCache&) {
    if (d.instruction.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU) return build_maskmovdqu(d, i);
    if (!is_simd_exact(d.instruction.mnemonic)) return nullptr;
    const void* thunk = find_thunk(d);
    if (thunk == nullptr) return nullptr;
    take_simd_registers(d, i);
    for (unsigned n = 0; n < d.instruction.operand_count_visible; ++n) {
        if (!d.is_memory(n)) continue;
        i.aux = thunk;
        return pick_by_size(i, d.size(n), !takes_any_address(d.instruction.mnemonic), n == 0);
    }
    return reinterpret_cast<Handler>(const_cast<void*>(thunk));
}

}  // namespace postern::cpu
