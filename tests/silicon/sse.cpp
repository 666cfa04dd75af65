// SPDX-License-Identifier: Apache-2.0
// Legacy-encoded instructions on XMM registers and MXCSR.
#include "silicon/group.h"

namespace postern::silicon {
namespace {

bool takes(const Decoded& d) {
    if (d.is_vex() || d.names(ZYDIS_REGCLASS_MMX)) return false;
    const ZydisMnemonic m = d.instruction.mnemonic;
    return d.names(ZYDIS_REGCLASS_XMM) || m == ZYDIS_MNEMONIC_LDMXCSR ||
           m == ZYDIS_MNEMONIC_STMXCSR;
}

void lead(Draft& draft, Random&) {
    if (draft.mnemonic() == ZYDIS_MNEMONIC_MASKMOVDQU)
        draft.k.before.gpr[7] = draft.place - draft.segment_base();
}

bool is_sha(const Case&, const Decoded& d, const Outcome&) {
    return d.instruction.meta.isa_set == ZYDIS_ISA_SET_SHA &&
           d.operand[1].type == ZYDIS_OPERAND_TYPE_MEMORY;
}
bool loads_mxcsr_mm(const Case&, const Decoded& d, const Outcome& host) {
    constexpr u32 misaligned_mask = 1u << 17;
    return d.instruction.mnemonic == ZYDIS_MNEMONIC_LDMXCSR &&
           (host.after.mxcsr & misaligned_mask) != 0;
}
bool is_masked_store(const Case&, const Decoded& d, const Outcome& host) {
    return d.instruction.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU && faults(host);
}

constexpr std::array differences{
    VendorRow{Vendor::amd, is_sha, "SHA takes misaligned operands; Intel: #GP(0)"},
    VendorRow{Vendor::amd, loads_mxcsr_mm, "MXCSR has bit 17 (MM); Intel: #GP(0)"},
    VendorRow{Vendor::any, is_masked_store, masked_bytes_may_fault},
};

const Group group{.name = "sse", .takes = takes, .lead = lead, .vendor = differences};
const Registered registered{group};

}  // namespace
}  // namespace postern::silicon
