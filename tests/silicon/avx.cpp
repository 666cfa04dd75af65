// SPDX-License-Identifier: Apache-2.0
// VEX-encoded instructions on XMM and YMM registers and MXCSR.
#include <cstring>

#include "silicon/group.h"

namespace postern::silicon {
namespace {

bool takes(const Decoded& d) {
    if (!d.is_vex()) return false;
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_VLDMXCSR:
        case ZYDIS_MNEMONIC_VSTMXCSR:
        case ZYDIS_MNEMONIC_VZEROALL:
        case ZYDIS_MNEMONIC_VZEROUPPER: return true;
        default: return d.names(ZYDIS_REGCLASS_XMM) || d.names(ZYDIS_REGCLASS_YMM);
    }
}

bool has_wide_index(ZydisMnemonic m) {
    return m == ZYDIS_MNEMONIC_VGATHERQPD || m == ZYDIS_MNEMONIC_VGATHERQPS ||
           m == ZYDIS_MNEMONIC_VPGATHERQD || m == ZYDIS_MNEMONIC_VPGATHERQQ;
}

/// Indices that lead to either side of the scratch area's middle; sometimes beyond its ends.
void put_indices(Ymm& indices, unsigned size, unsigned scale, Random& random) {
    const i64 reach = random.one_in(3) ? 0x1080 : 0xc00;
    for (unsigned n = 0; n < indices.size() / size; ++n) {
        const i64 offset = static_cast<i64>(random.below(static_cast<u64>(2 * reach))) - reach;
        const i64 index = offset / static_cast<i64>(scale);
        std::memcpy(indices.data() + size_t{n} * size, &index, size);
    }
}

void lead_gather(Draft& draft, Random& random) {
    const ZydisDecodedOperandMem& m = draft.d.operand[1].mem;
    Ymm& indices = draft.k.before.ymm[static_cast<size_t>(ZydisRegisterGetId(m.index))];
    put_indices(indices, has_wide_index(draft.mnemonic()) ? 8 : 4, m.scale, random);
    if (m.base == ZYDIS_REGISTER_NONE) return;
    const u64 middle = scratch + scratch_size / 2;
    u64& base = draft.gpr(m.base);
    base = middle - static_cast<u64>(m.disp.has_displacement ? m.disp.value : 0);
    if (draft.d.instruction.address_width == 32) base = (base & 0xffff'ffff) | random.next() << 32;
}

void lead(Draft& draft, Random& random) {
    if (draft.mnemonic() == ZYDIS_MNEMONIC_VMASKMOVDQU) draft.k.before.gpr[7] = draft.place;
    if (draft.encoding.is_vsib) lead_gather(draft, random);
}

bool loads_mxcsr_mm(const Case&, const Decoded& d, const Outcome& host) {
    constexpr u32 misaligned_mask = 1u << 17;
    return d.instruction.mnemonic == ZYDIS_MNEMONIC_VLDMXCSR &&
           (host.after.mxcsr & misaligned_mask) != 0;
}
bool is_masked_store(const Case&, const Decoded& d, const Outcome& host) {
    return d.instruction.mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU && faults(host);
}
bool is_masked_store_of_elements(const Case&, const Decoded& d, const Outcome& host) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_VMASKMOVPS:
        case ZYDIS_MNEMONIC_VMASKMOVPD:
        case ZYDIS_MNEMONIC_VPMASKMOVD:
        case ZYDIS_MNEMONIC_VPMASKMOVQ: return is_store(d) && faults(host);
        default: return false;
    }
}
bool is_conversion_to_memory(const Case&, const Decoded& d, const Outcome& host) {
    return d.instruction.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH && is_store(d) && faults(host);
}
bool is_interrupted_gather(const Case&, const Decoded& d, const Outcome& host) {
    return faults(host) && d.operand[1].type == ZYDIS_OPERAND_TYPE_MEMORY &&
           d.operand[1].mem.type == ZYDIS_MEMOP_TYPE_VSIB;
}

constexpr std::array differences{
    VendorRow{Vendor::amd, loads_mxcsr_mm, "MXCSR has bit 17 (MM); Intel: #GP(0)"},
    VendorRow{Vendor::any, is_masked_store, masked_bytes_may_fault},
    VendorRow{Vendor::intel, is_masked_store_of_elements,
              "CR2 of a masked store across pages is some byte of those that are stored"},
    VendorRow{Vendor::amd, is_conversion_to_memory,
              "VCVTPS2PH whose store faults leaves no flag in MXCSR; Intel: it does"},
    VendorRow{Vendor::amd, is_interrupted_gather,
              "a gather that faults has not filled its mask to whole elements"},
};

const Group group{.name = "avx", .takes = takes, .lead = lead, .vendor = differences};
const Registered registered{group};

}  // namespace
}  // namespace postern::silicon
