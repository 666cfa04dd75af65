// SPDX-License-Identifier: Apache-2.0
// The instruction length of the exits that an access causes. The manual leaves it open; KVM skips
// the instruction by it after an EPT misconfiguration and after an APIC access.
#include <gtest/gtest.h>

#include <initializer_list>

#include "cpu/mmu/access.h"
#include "cpu/run.h"
#include "unit/cpu/event/machine.h"

namespace postern::cpu {
namespace {

constexpr u64 page = 0x5'0000;

struct Guest : Machine {
    /// The page's EPT entry.
    explicit Guest(u64 entry) {
        as_guest();
        with_ept(0x1f'f000);
        put<u64>(ept_pt_at + 8 * (page >> 12), entry);
        flush_translations(c);
    }
    void expect_exit(std::initializer_list<u8> bytes, u64 reason, u64 length) {
        u64 at = code_rip;
        for (const u8 byte : bytes) put<u8>(at++, byte);
        EXPECT_EQ(run(c, now(c) + 10), RunOutcome::vm_exit);
        EXPECT_EQ(vmcs(VmcsField::exit_reason), reason);
        EXPECT_EQ(vmcs(VmcsField::vm_exit_instruction_length), length);
    }
};

constexpr u64 write_only = 2;  // a misconfiguration

TEST(ExitLength, OfAMisconfiguredPageIsTheInstructions) {
    Guest load{write_only};
    load.expect_exit({0x8b, 0x04, 0x25, 0x00, 0x00, 0x05, 0x00}, 49, 7);  // MOV EAX, [page]
    Guest exchange{write_only};
    exchange.c.gpr[rbx] = page;
    exchange.expect_exit({0x87, 0x03}, 49, 2);  // XCHG [RBX], EAX
    Guest string{write_only};
    string.c.gpr[rdi] = page;
    string.c.gpr[rcx] = 3;
    string.expect_exit({0xf3, 0xab}, 49, 2);  // REP STOSD
}

TEST(ExitLength, OfAnEptViolationIsNotGiven) {
    Guest m{0};
    m.expect_exit({0x8b, 0x04, 0x25, 0x00, 0x00, 0x05, 0x00}, 48, 0);
}

TEST(ExitLength, OfAFetchIsNotGiven) {
    Guest m{write_only};
    m.expect_exit({0xe9, 0xbb, 0xdc, 0x03, 0x00}, 49, 0);  // JMP page
}

}  // namespace
}  // namespace postern::cpu
