// SPDX-License-Identifier: Apache-2.0
// VEX-encoded instructions that touch memory element by element: masked moves and gathers. Only
// elements that are touched can fault.
#include <algorithm>
#include <cstring>

#include "cpu/exec/build.h"
#include "cpu/exec/fast.h"
#include "cpu/flags.h"
#include "cpu/vector_state.h"

namespace postern::cpu {
namespace {

/// What Insn::aux leads to.
struct Elements {
    u8 destination;  // or source, of a store
    u8 mask;
    u8 index;       // of a gather
    u8 index_size;  // of a gather, in bytes
    u8 size;        // of an element
    u8 count;
    u8 vector_size;  // of a gather, in bytes: the longer of destination and index
};

const Elements& elements_of(const Insn& i) { return *static_cast<const Elements*>(i.aux); }

u8 number_of(const Decoded& d, unsigned n) {
    return static_cast<u8>(ZydisRegisterGetId(d.operand[n].reg.value));
}

/// An element's mask is its top bit.
bool is_selected(const VectorRegister& mask, unsigned element, unsigned size) {
    return (mask.bytes[(element + 1) * size - 1] & 0x80) != 0;
}

u64 element(const VectorRegister& v, unsigned n, unsigned size) {
    u64 value = 0;
    std::memcpy(&value, v.bytes.data() + size_t{n} * size, size);
    return value;
}
void put_element(VectorRegister& v, unsigned n, unsigned size, u64 value) {
    std::memcpy(v.bytes.data() + size_t{n} * size, &value, size);
}

/// Bits 255:0.
void put_vector(Cpu& c, u8 number, const VectorRegister& value) {
    std::memcpy(c.vector.zmm[number].bytes.data(), value.bytes.data(), 32);
}

/// SDM 2D, "VMASKMOV" and "VPMASKMOV": loads.
Result<> exec_masked_load(Cpu& c, const Insn& i) {
    const Elements& e = elements_of(i);
    const Gva at = linear_address(c, i);
    VectorRegister result{};
    for (unsigned n = 0; n < e.count; ++n) {
        if (!is_selected(c.vector.zmm[e.mask], n, e.size)) continue;
        put_element(result, n, e.size, TRY(load_unaligned(c, at + u64{n} * e.size, e.size)));
    }
    put_vector(c, e.destination, result);
    return Done{};
}

/// The stores of the same. All that can fail does before the first byte is stored.
Result<> exec_masked_store(Cpu& c, const Insn& i) {
    const Elements& e = elements_of(i);
    const Gva at = linear_address(c, i);
    const VectorRegister& mask = c.vector.zmm[e.mask];
    for (unsigned n = 0; n < e.count; ++n)
        if (is_selected(mask, n, e.size)) TRY(probe_write(c, at + u64{n} * e.size, e.size));
    for (unsigned n = 0; n < e.count; ++n) {
        if (!is_selected(mask, n, e.size)) continue;
        const u64 value = element(c.vector.zmm[e.destination], n, e.size);
        TRY(store_unaligned(c, at + u64{n} * e.size, e.size, value));
    }
    return Done{};
}

/// Each element of the mask becomes all ones or all zeros, the rest zero. Where the destination is
/// shorter than the indices, Intel's processors fill as much of the mask as those have.
VectorRegister full_mask(const VectorRegister& mask, const Elements& e) {
    VectorRegister full{};
    for (unsigned n = 0; n < unsigned{e.vector_size} / e.size; ++n)
        put_element(full, n, e.size, is_selected(mask, n, e.size) ? ~u64{0} : 0);
    return full;
}

void clear_from(VectorRegister& v, unsigned byte) {
    std::fill(v.bytes.begin() + byte, v.bytes.end(), u8{0});
}

Gva gathered_address(const Cpu& c, const Insn& i, const Elements& e, unsigned n) {
    const u64 raw = element(c.vector.zmm[e.index], n, e.index_size);
    const u64 index = e.index_size == 4 ? sign_extended(static_cast<u32>(raw)) : raw;
    const u64 a = c.gpr[i.base] + (index << i.scale) + static_cast<u64>(i64{i.disp});
    return Gva{((i.form & form_address32) != 0 ? static_cast<u32>(a) : a) + c.gpr[i.segment]};
}

/// From the lowest element up; each one that is there loses its mask bit, so that after a fault
/// the instruction goes on where it was. The mask is filled before the first access. Beyond the
/// vector the destination is cleared with the first element, beyond its own elements with the last;
/// for that of a gather that faults the manual has no rule, and it is what Intel's processors do.
/// SDM 2D, "VGATHERDPS/VGATHERDPD" and its like.
Result<> exec_gather(Cpu& c, const Insn& i) {
    const Elements& e = elements_of(i);
    VectorRegister result = c.vector.zmm[e.destination];
    VectorRegister mask = full_mask(c.vector.zmm[e.mask], e);
    for (unsigned n = 0; n < e.count; ++n) {
        if (!is_selected(mask, n, e.size)) continue;
        const Result<u64> value = load_unaligned(c, gathered_address(c, i, e, n), e.size);
        if (!value) {
            put_vector(c, e.mask, mask);
            put_vector(c, e.destination, result);
            return Failed{};
        }
        put_element(result, n, e.size, value.value());
        clear_from(result, e.vector_size);
        put_element(mask, n, e.size, 0);
    }
    clear_from(result, unsigned{e.count} * e.size);
    put_vector(c, e.mask, {});
    put_vector(c, e.destination, result);
    return Done{};
}

unsigned element_size(ZydisMnemonic mnemonic) {
    return mnemonic == ZYDIS_MNEMONIC_VMASKMOVPD || mnemonic == ZYDIS_MNEMONIC_VPMASKMOVQ ? 8 : 4;
}

unsigned index_size(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
        case ZYDIS_MNEMONIC_VGATHERQPD:
        case ZYDIS_MNEMONIC_VGATHERQPS:
        case ZYDIS_MNEMONIC_VPGATHERQD:
        case ZYDIS_MNEMONIC_VPGATHERQQ: return 8;
        default: return 4;
    }
}

Elements* allocate_elements(Insn& i, BlockCache& cache) {
    auto* e = cache.allocate<Elements>(1);
    i.aux = e;
    return e;
}

}  // namespace

Handler build_vex_masked(const Decoded& d, Insn& i, BlockCache& cache) {
    if (d.instruction.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX) return nullptr;
    const bool is_store = d.is_memory(0);
    const unsigned size = element_size(d.instruction.mnemonic);
    *allocate_elements(i, cache) = {.destination = number_of(d, is_store ? 2 : 0),
                                    .mask = number_of(d, 1),
                                    .index = 0,
                                    .index_size = 0,
                                    .size = static_cast<u8>(size),
                                    .count = static_cast<u8>(d.size(1) / size),
                                    .vector_size = 0};
    return is_store ? inside_block<exec_masked_store> : inside_block<exec_masked_load>;
}

/// Outside 64-bit mode segment limits would have to be checked for each element.
Handler build_vex_gather(const Decoded& d, Insn& i, BlockCache& cache) {
    if (d.instruction.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX) return nullptr;
    if ((d.mode & mode_legacy) != 0) return nullptr;
    const ZydisRegister index = d.operand[1].mem.index;
    const unsigned index_bytes = ZydisRegisterGetClass(index) == ZYDIS_REGCLASS_YMM ? 32 : 16;
    const unsigned each = index_size(d.instruction.mnemonic);
    const unsigned size = d.size(1);
    *allocate_elements(i, cache) = {
        .destination = number_of(d, 0),
        .mask = number_of(d, 2),
        .index = static_cast<u8>(ZydisRegisterGetId(index)),
        .index_size = static_cast<u8>(each),
        .size = static_cast<u8>(size),
        .count = static_cast<u8>(std::min(index_bytes / each, d.size(0) / size)),
        .vector_size = static_cast<u8>(std::max(index_bytes, d.size(0)))};
    i.index = row_zero;  // no general register
    return inside_block<exec_gather>;
}

}  // namespace postern::cpu
