// SPDX-License-Identifier: Apache-2.0
// Attempts by code that the processor has fetched and keeps decoded: an enclave's code run from
// outside, outside code run by an enclave, code of a page that has changed. From outside an EPC
// page is FFH throughout, and FF FF is no instruction.
#include <gtest/gtest.h>

#include "cpu/mmu/access.h"
#include "unit/cpu/sgx/attack_machine.h"

namespace postern::cpu::sgx::attack {
namespace {

constexpr u64 saved_rip = (ssa_page + 1) * page_size - 184 + 136;

/// JMP rel32.
Bytes jump(u64 from, u64 to) {
    const auto distance = static_cast<u32>(to - (from + 5));
    Bytes code{0xe9};
    for (unsigned n = 0; n < 4; ++n) code.push_back(static_cast<u8>(distance >> (8 * n)));
    return code;
}
const Bytes inc_r9{0x49, 0xff, 0xc1};

TEST(SecurityCode, OfAnEnclaveIsNotRunFromOutside) {
    for (const u32 cpl : {0u, 3u}) {
        AttackMachine m{join({inc_r9, exit_bytes()})};
        const Bytes attempt = jump(outside, code_at);
        for (unsigned round = 0; round < 3; ++round) {
            const GuestStop before = m.run_outside(cpl, attempt);
            EXPECT_EQ(before.fault, (GuestFault{Vector::invalid_opcode}));
            EXPECT_EQ(before.state.rip, code_at);
            const GuestStop honest = m.run_outside(3, enter_bytes());
            EXPECT_EQ(honest.fault, std::nullopt);
            const GuestStop by_window = m.run_outside(cpl, jump(outside, window_of(code_page)));
            EXPECT_EQ(by_window.fault, (GuestFault{Vector::invalid_opcode}));
            EXPECT_EQ(by_window.state.rip, window_of(code_page));
        }
    }
}

TEST(SecurityCode, ThatRunsFromRamIntoTheEpcReadsItsBytesAsOnes) {
    AttackMachine m;
    const u64 before = window - page_size, page = guest_at::data + 0x4000;
    m.map(before, page, pte_present | pte_write | pte_user);
    const Bytes mov_edx{0xba};  // its immediate lies in the EPC
    m.write(page + page_size - 1, mov_edx);
    const GuestStop stop = m.run_outside(3, jump(outside, window - 1));
    EXPECT_EQ(stop.state.gpr[rdx], 0xffff'ffffu);
    EXPECT_EQ(stop.fault, (GuestFault{Vector::invalid_opcode}));
    EXPECT_EQ(stop.state.rip, window + 4);
}

TEST(SecurityCode, OfOutsideIsNotRunByAnEnclaveHoweverItJumps) {
    const u64 gadget = outside + 0x400;
    const Bytes direct = jump(code_at, gadget);
    const Bytes indirect = join({mov(rax, gadget), {0xff, 0xe0}});
    // Its stack in the data page: MOV RSP; MOV RAX; PUSH RAX; RET.
    const Bytes by_return = join({mov(rsp, data_at + 0x800), mov(rax, gadget), {0x50, 0xc3}});
    for (const Bytes& way : {direct, indirect, by_return}) {
        AttackMachine m{way};
        m.write(gadget, join({inc_r9, {0xcd, 0x80}}));
        for (unsigned round = 0; round < 3; ++round) {
            m.run_outside(3, jump(outside, gadget));  // decoded, linked, its fetch translated
            m.epc.tcs(tcs_page).cssa = 0;
            const GuestStop stop = m.run_outside(3, enter_bytes());
            EXPECT_EQ(stop.fault, (GuestFault{Vector::general_protection}));
            EXPECT_EQ(stop.state.rip, aep);
            EXPECT_EQ(m.epc.at<u64>(saved_rip), gadget);
        }
    }
}

TEST(SecurityCode, OfRamAtElrangesAddressDoesNotBecomeTheEnclaves) {
    AttackMachine m{join({mov(r8, 1), exit_bytes()})};
    const u64 decoy = guest_at::data + 0x8000;
    m.write(decoy, join({mov(r8, 2), {0xcd, 0x80}}));
    m.entry(code_at, 1) = decoy | pte_present | pte_write | pte_user;
    const GuestStop outer = m.run_outside(3, jump(outside, code_at));
    ASSERT_EQ(outer.state.gpr[r8], 2u);
    // Entered with the tables still lying, and put right without a flush.
    const GuestStop refused = m.run_outside(3, enter_bytes());
    EXPECT_EQ(refused.fault, (GuestFault{Vector::page_fault, 0x8015, code_at}));
    m.epc.tcs(tcs_page).cssa = 0;
    m.run_outside(3, jump(outside, code_at));
    m.entry(code_at, 1) = physical_of(code_page) | pte_present | pte_write | pte_user;
    const GuestStop inner = m.run_outside(3, enter_bytes());
    EXPECT_EQ(inner.fault, std::nullopt);
    EXPECT_EQ(inner.state.gpr[r8], 1u);
}

TEST(SecurityCode, OfARemovedPageIsNotRunByItsNextOwner) {
    AttackMachine m{join({mov(r8, 1), exit_bytes()})};
    ASSERT_EQ(m.run_outside(3, enter_bytes()).state.gpr[r8], 1u);
    ASSERT_TRUE(m.encls(EnclsLeaf::eremove, 0, window_of(code_page)));
    m.epc.secs(secs_page).attributes.flags.set(SgxAttribute::init, false);
    m.add(secs_page, code_page, code_at, 0x205, join({mov(r8, 2), exit_bytes()}));
    m.epc.secs(secs_page).attributes.flags.set(SgxAttribute::init);
    EXPECT_EQ(m.run_outside(3, enter_bytes()).state.gpr[r8], 2u);
}

TEST(SecurityCode, ThatADebuggerChangesIsRunAsChanged) {
    AttackMachine m{join({mov(r8, 1), exit_bytes()})};
    m.epc.secs(secs_page).attributes.flags.set(SgxAttribute::debug);
    ASSERT_EQ(m.run_outside(3, enter_bytes()).state.gpr[r8], 1u);
    const u64 first = m.epc.at<u64>(code_page * page_size);
    ASSERT_TRUE(m.encls(EnclsLeaf::edbgwr, first ^ (u64{1 ^ 3} << 16), window_of(code_page)));
    EXPECT_EQ(m.run_outside(3, enter_bytes()).state.gpr[r8], 3u);
}

TEST(SecurityCode, ThatCrossesIntoAPageIsCheckedThereEachTime) {
    AttackMachine m{jump(code_at, both_at - 1)};
    m.entry_of(data_page).x = true;
    m.epc.at<u8>((data_page + 1) * page_size - 1) = 0xba;  // MOV EDX, the next page's first bytes
    const Bytes rest = exit_bytes();
    std::copy(rest.begin(), rest.end(), m.epc.page(both_page) + 4);
    const GuestStop first = m.run_outside(3, enter_bytes());
    EXPECT_EQ(first.fault, std::nullopt);
    EXPECT_EQ(first.state.gpr[rdx], 0x5e5e'5e5eu);
    m.entry_of(both_page).x = false;
    const GuestStop second = m.run_outside(3, enter_bytes());
    EXPECT_EQ(second.fault, (GuestFault{Vector::page_fault, 0x8015, both_at}));
    EXPECT_EQ(m.epc.at<u64>(saved_rip), both_at - 1);
}

TEST(SecurityCode, LegalOutsideIsIllegalInsideWhereverItWasDecodedFirst) {
    const Bytes cpuid{0x0f, 0xa2};
    AttackMachine m{join({cpuid, exit_bytes()})};
    for (unsigned round = 0; round < 2; ++round) {
        EXPECT_EQ(m.run_outside(3, cpuid).fault, std::nullopt);
        EXPECT_EQ(m.run_outside(3, enter_bytes()).fault, (GuestFault{Vector::invalid_opcode}));
        m.epc.tcs(tcs_page).cssa = 0;
    }
}

/// An enclave that may write its code: what it has written is what runs.
TEST(SecurityCode, ThatTheEnclaveWritesIsRunAsWritten) {
    // MOV byte [both_at + 2], 7, where MOV R8, imm64 has its immediate; JMP both_at.
    const Bytes poke{0xc6, 0x04, 0x25, 0x02, 0x50, 0x00, 0x40, 0x07};
    AttackMachine m{join({poke, jump(code_at + 8, both_at)})};
    const Bytes body = join({mov(r8, 1), exit_bytes()});
    std::copy(body.begin(), body.end(), m.epc.page(both_page));
    EXPECT_EQ(m.run_outside(3, enter_bytes()).state.gpr[r8], 7u);
    m.epc.at<u8>(both_page * page_size + 2) = 1;
    EXPECT_EQ(m.run_outside(3, enter_bytes()).state.gpr[r8], 7u);
}

}  // namespace
}  // namespace postern::cpu::sgx::attack
