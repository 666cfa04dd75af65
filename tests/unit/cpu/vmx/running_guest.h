// SPDX-License-Identifier: Apache-2.0
// Code that runs in VMX non-root operation, for tests of what a VM exit says of it. No EPT; the
// controls are the test's, as the manual numbers their bits.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <vector>

#include "support/guest_code.h"

namespace postern::cpu::vmx {

using Code = std::vector<u8>;

/// Controls in the order of the VMCS's words.
struct Controls {
    u32 pin = 0, primary = 0, secondary = 0;
};

/// What the fields say of an instruction that exits.
struct Said {
    u64 reason = 0;
    u64 qualification = 0;
    u64 length = 0;
    u64 information = 0;
    friend bool operator==(const Said&, const Said&) = default;
};
inline void PrintTo(const Said& s, std::ostream* os) {
    *os << "reason " << s.reason << " length " << s.length << std::hex << " qualification "
        << s.qualification << " information " << s.information;
}

inline constexpr u64 nothing_exited = 0xdead;

struct RunningGuest {
    GuestCode m;
    Cpu& c = m.c;

    static constexpr u64 host_rip = 0x1'8000, bitmaps = guest_at::spare;

    explicit RunningGuest(Controls controls = {}, GuestMode mode = GuestMode::long64) {
        if (mode != GuestMode::long64) m.set_mode(mode);
        m.set_plain_state(guest_at::code);
        c.cr4.set(Cr4::vmxe);
        c.vmx.on = c.vmx.non_root = c.vmx.hosted = true;
        set(VmcsField::pin_based_controls, controls.pin);
        set(VmcsField::primary_processor_based_controls,
            controls.primary | (controls.secondary != 0 ? 1u << 31 : 0));
        set(VmcsField::secondary_processor_based_controls, controls.secondary);
        set(VmcsField::vm_exit_controls, 1u << 9);
        set(VmcsField::vm_entry_controls, mode == GuestMode::long64 ? 1u << 9 : 0);
        set(VmcsField::io_bitmap_a, bitmaps);
        set(VmcsField::io_bitmap_b, bitmaps + 0x1000);
        set(VmcsField::msr_bitmap, bitmaps + 0x2000);
        set(VmcsField::host_rip, host_rip);
        set(VmcsField::host_cr0, 0x8000'0031);
        set(VmcsField::host_cr3, guest_at::page_tables);
        set(VmcsField::host_cr4, 0x2020);
        set(VmcsField::host_cs_selector, 8);
        set(VmcsField::host_tr_selector, 0x18);
        set(VmcsField::exit_reason, nothing_exited);
    }

    void set(VmcsField field, u64 value) { c.vmx.vmcs.slot[vmcs_index(field)] = value; }
    u64 get(VmcsField field) const { return c.vmx.vmcs.slot[vmcs_index(field)]; }

    /// Runs until the VM exit, or a hundred instructions.
    RunOutcome run(const Code& code) {
        m.write(guest_at::code, code);
        return cpu::run(c, now(c) + 100);
    }
    Said said() const {
        return {get(VmcsField::exit_reason), get(VmcsField::exit_qualification),
                get(VmcsField::vm_exit_instruction_length),
                get(VmcsField::vm_exit_instruction_information)};
    }
    /// Of the code's first instruction.
    Said exit_of(const Code& code) {
        EXPECT_EQ(run(code), RunOutcome::vm_exit);
        EXPECT_EQ(get(VmcsField::guest_rip), guest_at::code - get(VmcsField::guest_cs_base));
        EXPECT_EQ(c.rip, host_rip);
        return said();
    }
};

}  // namespace postern::cpu::vmx
