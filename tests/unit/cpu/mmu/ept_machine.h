// SPDX-License-Identifier: Apache-2.0
// A guest whose 4 MiB of memory EPT maps to itself in pages of 4 KBytes, for the tests of EPT.
// Qualification by SDM 3C, "Exit Qualification for EPT Violations": read 1, write 2, fetch 4; what
// the entries permit, the same moved up by 3; linear address valid 80H; final translation 100H; of
// the linear address: user 200H, writable 400H, execute-disable 800H.
#pragma once

#include <gtest/gtest.h>

#include "cpu/event/event.h"
#include "cpu/mmu/access.h"
#include "support/guest_code.h"

namespace postern::cpu {

struct EptMachine : testing::Test {
    static constexpr u64 page = guest_at::spare, other_page = page + 0x1000;
    static constexpr u64 pml4 = guest_at::ept_tables, pdpt = pml4 + 0x1000, pd = pml4 + 0x2000;
    static constexpr u64 pt = guest_at::spare + 0x1'0000;   // 2 tables: 4 MiB
    static constexpr u64 log = guest_at::spare + 0x2'0000;  // of modified pages
    static constexpr u64 rwx = 7, write_back = 6 << 3, large = 0x80;
    static constexpr u64 accessed = 0x100, dirty = 0x200;
    static constexpr u64 eptp_plain = pml4 | 0x1e, eptp_with_ad = pml4 | 0x5e;

    GuestCode m;
    Cpu& c = m.c;

    EptMachine() {
        m.at<u64>(pml4) = pdpt | rwx;
        m.at<u64>(pdpt) = pd | rwx;
        for (u64 n = 0; n < 2; ++n) m.at<u64>(pd + 8 * n) = (pt + n * 0x1000) | rwx;
        for (u64 n = 0; n < 1024; ++n) m.at<u64>(pt + 8 * n) = n << 12 | write_back | rwx;
        use(eptp_plain);
    }
    void use(u64 eptp) {
        c.vmx.ept_pointer = eptp;
        flush_translations(c);
    }
    u64& entry(u64 physical) { return m.at<u64>(pt + 8 * (physical >> 12)); }
    u64 flags(u64 physical) { return entry(physical) & (accessed | dirty); }
    void permit(u64 physical, u64 permissions) {
        entry(physical) = (physical & ~u64{0xfff}) | write_back | permissions;
    }

    /// The page-modification log, next entry `index`.
    void log_from(u64 index) {
        c.vmx.non_root = true;
        c.vmx.vmcs.set<VmcsField::primary_processor_based_controls>(u64{1} << 31);
        c.vmx.vmcs.set<VmcsField::secondary_processor_based_controls>(u64{1} << 17 | 2);
        c.vmx.vmcs.set<VmcsField::pml_address>(log);
        c.vmx.vmcs.set<VmcsField::pml_index>(index);
        use(eptp_with_ad);
    }
    u64 log_index() const { return c.vmx.vmcs.get<VmcsField::pml_index>(); }
    u64 logged(u64 index) const { return m.at<u64>(log + 8 * index); }

    void expect_pending(BasicReason reason, u64 qualification, u64 physical) {
        EXPECT_EQ(c.pending.kind, PendingKind::vm_exit);
        EXPECT_EQ(c.pending.reason, reason);
        EXPECT_EQ(c.pending.qualification, qualification);
        EXPECT_EQ(c.pending.guest_physical, physical);
    }
    void expect_exit(Access access, BasicReason reason, u64 qualification, u64 physical,
                     u64 linear = page) {
        flush_translations(c);
        c.pending = {};
        ASSERT_FALSE(translate(c, Gva{linear}, access).ok());
        expect_pending(reason, qualification, physical);
        EXPECT_EQ(c.pending.guest_linear, linear);
    }
    void expect_violation(Access access, u64 qualification, u64 physical = page,
                          u64 linear = page) {
        expect_exit(access, BasicReason::ept_violation, qualification, physical, linear);
    }
    void expect_misconfiguration() {
        expect_exit(Access::read, BasicReason::ept_misconfiguration, 0, page);
    }
    void expect_fine(Access access, u64 linear = page) {
        flush_translations(c);
        EXPECT_TRUE(translate(c, Gva{linear}, access).ok());
    }
};

}  // namespace postern::cpu
