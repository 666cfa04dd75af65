// SPDX-License-Identifier: Apache-2.0
// Translations and caches thrown away. There are no caches of data to be seen.
#include "cpu/exec/segment_check.h"
#include "cpu/exec/system/common.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"

namespace postern::cpu {

/// SDM 2A, "INVLPG". A linear address that is not canonical is no fault.
Result<> exec_invlpg(Cpu& c, const Insn& i) {
    TRY(require_supervisor(c));
    if (wants(c, PrimaryControl::invlpg_exiting))
        return vmx::raise_exit(c, BasicReason::invlpg, linear_address(c, i).raw());
    flush_page(c, linear_address(c, i));
    return Done{};
}

namespace {

enum InvpcidType : u64 { one_address, one_context, all_with_global, all_but_global };

Result<> check_invpcid(Cpu& c, u64 type, u64 descriptor, u64 linear) {
    constexpr u64 pcid = 0xfff;
    if (type > all_but_global || (descriptor & ~pcid) != 0) return general_protection(c);
    const bool names_context = type == one_address || type == one_context;
    if (names_context && !c.cr4.has(Cr4::pcide) && descriptor != 0) return general_protection(c);
    if (type == one_address && !is_canonical(c, linear)) return general_protection(c);
    return Done{};
}

}  // namespace

/// SDM 2A, "INVPCID".
Result<> exec_invpcid(Cpu& c, const Insn& i) {
    TRY(require(c, Feature::invpcid));
    if (vmx::in_guest(c) && !wants(c, SecondaryControl::enable_invpcid)) return invalid_opcode(c);
    TRY(require_supervisor(c));
    if (wants(c, PrimaryControl::invlpg_exiting)) {
        const auto operands = memory_information(i).with_register2(static_cast<Gpr>(i.dst));
        return vmx::raise_exit(c, BasicReason::invpcid, displacement(c, i), operands.to_raw());
    }
    u64 descriptor[2];
    const Gva at = TRY(checked_address(c, i, sizeof descriptor, Access::read));
    TRY(load_bytes(c, at, descriptor, sizeof descriptor));
    const u64 type = in_64_bit_mode(c) ? c.gpr[i.dst] : static_cast<u32>(c.gpr[i.dst]);
    TRY(check_invpcid(c, type, descriptor[0], descriptor[1]));
    switch (type) {
        case one_address: flush_pcid_page(c, descriptor[0], Gva{descriptor[1]}); break;
        case one_context: flush_pcid(c, descriptor[0]); break;
        case all_with_global: flush_vpid(c); break;
        default: flush_but_global(c); break;
    }
    return Done{};
}

/// SDM 2D, "WBINVD".
Result<> exec_wbinvd(Cpu& c, const Insn&) {
    TRY(require_supervisor(c));
    if (wants(c, SecondaryControl::wbinvd_exiting))
        return vmx::raise_exit(c, BasicReason::wbinvd_or_wbnoinvd);
    return Done{};
}

/// SDM 2A, "INVD". With processor-reserved memory it would lose enclave pages: #GP(0).
Result<> exec_invd(Cpu& c, const Insn&) {
    TRY(require_supervisor(c));
    if (vmx::in_guest(c)) return vmx::raise_exit(c, BasicReason::invd);
    if (c.system->memory.epc_size != 0) return general_protection(c);
    return Done{};
}

}  // namespace postern::cpu
