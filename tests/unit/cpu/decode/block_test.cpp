// SPDX-License-Identifier: Apache-2.0
// What must not be seen: blocks, the links between them, the jump cache, slices.
#include <gtest/gtest.h>

#include <cstring>

#include "cpu/decode/block_cache.h"
#include "cpu/mmu/access.h"
#include "support/guest_code.h"

namespace postern::cpu {
namespace {

using Code = std::vector<u8>;

constexpr u64 here = guest_at::code, next_page = guest_at::code + 0x1000;
constexpr u64 long_enough = 1'000'000;

class Blocks : public testing::Test {
protected:
    GuestCode m;
    Cpu& c = m.c;

    GuestStop run(u64 limit = long_enough, u64 slice = ~u64{0}) {
        m.set_plain_state(here);
        return m.run(limit, slice);
    }
    [[nodiscard]] bool has_code(u64 physical) const { return c.blocks->has_code(m.ram(physical)); }
};

const Code mov_eax_1{0xb8, 1, 0, 0, 0};

TEST_F(Blocks, StoreOfTheGuestDropsTheBlocksOfItsPage) {
    m.write(here, mov_eax_1);
    m.write(here + mov_eax_1.size(), GuestCode::hlt);
    run();
    ASSERT_TRUE(has_code(here));
    ASSERT_TRUE(store(c, Gva{here + 1}, 1, 7).ok());
    EXPECT_FALSE(has_code(here));
    EXPECT_EQ(run().state.gpr[rax], 7u);
}

TEST_F(Blocks, StoreByAnotherLinearAddressDropsThemToo) {
    constexpr u64 alias = 0x40'0000;
    m.map(alias, here, pte_present | pte_write);
    ASSERT_TRUE(store(c, Gva{alias + 0x800}, 8, 0).ok());  // the TLB now lets stores through
    m.write(here, mov_eax_1);
    m.write(here + mov_eax_1.size(), GuestCode::hlt);
    EXPECT_EQ(run().state.gpr[rax], 1u);
    ASSERT_TRUE(store(c, Gva{alias + 1}, 1, 9).ok());
    EXPECT_EQ(run().state.gpr[rax], 9u);
}

TEST_F(Blocks, StoreToTheSecondPageDropsTheInstructionThatRunsIntoIt) {
    m.write(next_page - 2, mov_eax_1);
    m.write(next_page + 3, GuestCode::hlt);
    m.write(here, Code{0xe9, 0xf9, 0x0f, 0, 0});  // jmp next_page - 2
    EXPECT_EQ(run().state.gpr[rax], 1u);
    ASSERT_TRUE(store(c, Gva{next_page}, 1, 2).ok());
    EXPECT_EQ(run().state.gpr[rax], 0x201u);
}

TEST_F(Blocks, SecondPageThatMovesIsSeen) {
    m.write(next_page - 1, mov_eax_1);
    m.write(next_page + 4, GuestCode::hlt);
    m.write(here, Code{0xe9, 0xfa, 0x0f, 0, 0});
    EXPECT_EQ(run().state.gpr[rax], 1u);
    m.write(guest_at::spare, Code{5, 0, 0, 0, 0xf4});
    m.map(next_page, guest_at::spare, pte_present | pte_write);
    EXPECT_EQ(run().state.gpr[rax], 5u);
}

TEST_F(Blocks, FarLinkIsForgottenWhenItsTargetIsMappedElsewhere) {
    m.write(here, Code{0xe9, 0xfb, 0x0f, 0, 0});  // jmp next_page
    m.write(next_page, mov_eax_1);
    m.write(next_page + mov_eax_1.size(), GuestCode::hlt);
    for (int n = 0; n < 3; ++n) EXPECT_EQ(run().state.gpr[rax], 1u);
    m.write(guest_at::spare, Code{0xb8, 2, 0, 0, 0, 0xf4});
    m.map(next_page, guest_at::spare, pte_present | pte_write);
    EXPECT_EQ(run().state.gpr[rax], 2u);
}

TEST_F(Blocks, LinkedJumpSeesAPageThatMayNoLongerBeExecuted) {
    m.write(here, Code{0xe9, 0xfb, 0x0f, 0, 0});
    m.write(next_page, GuestCode::hlt);
    run();
    run();
    m.map(next_page, next_page, pte_present | pte_no_execute);
    const GuestStop stop = run();
    ASSERT_TRUE(stop.fault.has_value());
    EXPECT_EQ(*stop.fault, (GuestFault{Vector::page_fault, 0x11, next_page}));
}

TEST_F(Blocks, JumpCacheForgetsTargetsAtAFlush) {
    m.write(here, Code{0xbb, 0, 0x10, 0x01, 0, 0xff, 0xe3});  // mov ebx, next_page; jmp rbx
    m.write(next_page, mov_eax_1);
    m.write(next_page + mov_eax_1.size(), GuestCode::hlt);
    for (int n = 0; n < 3; ++n) EXPECT_EQ(run().state.gpr[rax], 1u);
    m.write(guest_at::spare, Code{0xb8, 2, 0, 0, 0, 0xf4});
    m.map(next_page, guest_at::spare, pte_present);
    EXPECT_EQ(run().state.gpr[rax], 2u);
}

/// Another program's page at the same linear address: what is known of jumps within the page is of
/// the page before.
TEST_F(Blocks, AJumpWithinAPageFindsTheCodeThatIsThereNow) {
    const Code jump{0xff, 0xe3};                              // jmp rbx
    const Code enter{0xbb, 0x20, 0x10, 0x01, 0,               // mov ebx, next_page + 20h
                     0xb8, 0,    0x10, 0x01, 0, 0xff, 0xe0};  // mov eax, next_page; jmp rax
    m.write(here, enter);
    m.write(next_page, jump);
    m.write(next_page + 0x20, Code{0xb8, 1, 0, 0, 0, 0xf4});
    m.write(guest_at::spare, jump);
    m.write(guest_at::spare + 0x20, Code{0xb8, 2, 0, 0, 0, 0xf4});
    for (int n = 0; n < 3; ++n) EXPECT_EQ(run().state.gpr[rax], 1u);
    m.map(next_page, guest_at::spare, pte_present);
    EXPECT_EQ(run().state.gpr[rax], 2u);
    m.map(next_page, next_page, pte_present);
    EXPECT_EQ(run().state.gpr[rax], 1u);
}

TEST_F(Blocks, SameBytesRunAtTwoLinearAddresses) {
    constexpr u64 alias = 0x50'0000;
    m.map(alias, here, pte_present | pte_write);
    m.write(here, Code{0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xf4});  // lea rax, [rip]
    EXPECT_EQ(run().state.gpr[rax], here + 7);
    m.set_plain_state(alias);
    EXPECT_EQ(m.run(long_enough).state.gpr[rax], alias + 7);
}

TEST_F(Blocks, UnimplementedInstructionIsNamedAndNothingRetires) {
    c.system->model = nullptr;  // nothing is refused for want of a feature
    m.write(here, Code{0x62, 0xf1, 0xf5, 0x48, 0x58, 0xc2});  // VADDPD ZMM0, ZMM1, ZMM2
    const GuestStop stop = run();
    EXPECT_EQ(stop.outcome, RunOutcome::unimplemented);
    EXPECT_STREQ(c.pending.what, "vaddpd");
    EXPECT_EQ(stop.instructions, 0u);
    EXPECT_EQ(stop.state.rip, here);
}

/// Loops, calls, stores, string instructions, and code that changes itself, 2000 times.
const Code mixture{
    0x31, 0xc0,                                // xor eax, eax
    0xb9, 0xd0, 0x07, 0x00, 0x00,              // mov ecx, 2000
    0xbf, 0x00, 0x00, 0x02, 0x00,              // mov edi, data
    0xe8, 0x1b, 0x00, 0x00, 0x00,              // again: call sub
    0x48, 0x01, 0x07,                          // add [rdi], rax
    0x51,                                      // push rcx
    0xb9, 0x0d, 0x00, 0x00, 0x00,              // mov ecx, 13
    0xf3, 0xaa,                                // rep stosb
    0x59,                                      // pop rcx
    0x83, 0xef, 0x0c,                          // sub edi, 12
    0x66, 0xff, 0x05, 0x06, 0x00, 0x00, 0x00,  // inc word [rip + sub's immediate]
    0xff, 0xc9,                                // dec ecx
    0x75, 0xe1,                                // jnz again
    0xf4,                                      // hlt
    0x05, 0x03, 0x00, 0x00, 0x00,              // sub: add eax, imm32
    0xc3,                                      // ret
};

TEST_F(Blocks, SlicesOfEveryLengthGiveTheSameRun) {
    struct Result {
        GuestState state;
        u64 instructions;
        std::vector<u8> memory;
    };
    std::vector<Result> results;
    for (const u64 slice : {~u64{0}, u64{1}, u64{7}, u64{1000}}) {
        GuestCode machine;
        machine.write(here, mixture);
        machine.set_plain_state(here);
        const GuestStop stop = machine.run(long_enough, slice);
        ASSERT_EQ(stop.outcome, RunOutcome::halted);
        ASSERT_FALSE(stop.fault.has_value()) << stop.state.rip;
        results.push_back(
            {stop.state, stop.instructions, {machine.ram(here), machine.ram(guest_at::stack)}});
    }
    // 3 before; each turn: call, add, ret, add, push, mov, 13, pop, sub, inc, dec, jnz.
    EXPECT_EQ(results[0].instructions, 3u + 2000 * (11 + 13));
    for (const Result& r : results) {
        EXPECT_EQ(r.instructions, results[0].instructions);
        EXPECT_EQ(r.state, results[0].state);
        EXPECT_EQ(r.memory, results[0].memory);
    }
}

TEST_F(Blocks, RunStopsExactlyAtItsLimit) {
    m.write(here, Code{0x48, 0xff, 0xc0, 0xeb, 0xfb});  // again: inc rax; jmp again
    for (const u64 limit : {1u, 2u, 63u, 64u, 65u, 1001u, 100'000u}) {
        m.set_plain_state(here);
        c.gpr[rax] = 0;
        const GuestStop stop = m.run(limit);
        EXPECT_EQ(stop.outcome, RunOutcome::time);
        EXPECT_EQ(stop.instructions, limit);
        EXPECT_EQ(stop.state.gpr[rax], (limit + 1) / 2);
        EXPECT_EQ(stop.state.rip, here + (limit % 2 == 0 ? 0 : 3));
    }
}

}  // namespace
}  // namespace postern::cpu
