// SPDX-License-Identifier: Apache-2.0
// x87 and MMX instructions among all the others, with their faults. What their results are is
// looked at closely by x87_test.cpp.
#include <cstring>

#include "silicon/group.h"

namespace postern::silicon {
namespace {

bool is_mmx(const Decoded& d) {
    const ZydisMnemonic m = d.instruction.mnemonic;
    return d.names(ZYDIS_REGCLASS_MMX) || m == ZYDIS_MNEMONIC_EMMS ||
           m == ZYDIS_MNEMONIC_CVTPI2PS || m == ZYDIS_MNEMONIC_CVTPI2PD;
}
bool is_x87(const Decoded& d) { return d.instruction.meta.isa_ext == ZYDIS_ISA_EXT_X87; }

/// Numbers of all kinds near each other, most registers in use, some exceptions unmasked, and none
/// pending.
void lead_x87(Draft& draft, Random& random) {
    X87& x87 = draft.k.before.x87;
    constexpr u16 masks = 0x3f;
    const u64 r = random.next();
    x87.fcw = static_cast<u16>(0x37f ^ (r & 0x0f00));
    if (random.one_in(4)) x87.fcw = static_cast<u16>(x87.fcw & ~(r >> 16 & masks));
    x87.fsw = static_cast<u16>((r >> 24 & 0x7f00) | (r >> 40 & x87.fcw & masks));
    if (!random.one_in(4)) x87.tag = 0xff;
    for (auto& st : x87.st) {
        const u64 s = random.next();
        const u64 significand = u64{1} << 63 | (random.one_in(2) ? s : s & ~u64{0} << (s & 63));
        const auto exponent = static_cast<u16>(0x3fff - 8 + (s >> 8) % 72);
        const auto head = static_cast<u16>(exponent | (s & 0x80) << 8);
        if (random.one_in(3)) continue;
        std::memcpy(st.data(), &significand, sizeof significand);
        std::memcpy(st.data() + 8, &head, sizeof head);
    }
}

void lead_mmx(Draft& draft, Random&) {
    if (draft.mnemonic() == ZYDIS_MNEMONIC_MASKMOVQ)
        draft.k.before.gpr[7] = draft.place - draft.segment_base();
}

bool is_faulting_store(const Case&, const Decoded& d, const Outcome& host) {
    return is_store(d) && faults(host);
}
bool is_faulting_store_of_80_bits(const Case&, const Decoded& d, const Outcome& host) {
    return is_store(d) && d.operand[0].size == 80 && faults(host);
}
bool is_masked_store(const Case&, const Decoded& d, const Outcome& host) {
    return d.instruction.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ && faults(host);
}

constexpr std::array x87_differences{
    VendorRow{Vendor::amd, is_faulting_store,
              "the operand is looked at though an exception keeps it from being stored"},
    VendorRow{Vendor::intel, is_faulting_store_of_80_bits,
              "the first 8 of 10 bytes are stored though the last two fault"},
};
constexpr std::array mmx_differences{
    VendorRow{Vendor::any, is_masked_store, masked_bytes_may_fault},
    VendorRow{Vendor::intel, is_faulting_store, "a store that faults has made TOP 0"},
};

const Group x87_group{.name = "x87", .takes = is_x87, .lead = lead_x87, .vendor = x87_differences};
const Registered x87_registered{x87_group};
const Group mmx_group{.name = "mmx", .takes = is_mmx, .lead = lead_mmx, .vendor = mmx_differences};
const Registered mmx_registered{mmx_group};

}  // namespace
}  // namespace postern::silicon
