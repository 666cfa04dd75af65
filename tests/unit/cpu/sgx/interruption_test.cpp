// SPDX-License-Identifier: Apache-2.0
// Asynchronous exits by request: when they are due, and an enclave that the run loop leaves there.
#include "cpu/sgx/interruption.h"

#include <gtest/gtest.h>

#include <cstring>

#include "cpu/flags.h"
#include "cpu/run.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

using When = Interruptions::When;

/// When each of so many is taken, one instruction after the other.
std::vector<u64> times(Interruptions& i, size_t count) {
    std::vector<u64> taken;
    while (taken.size() < count && i.retired < 1'000'000) {
        if (!note_retired(i, 1)) continue;
        taken.push_back(i.retired);
        note_taken(i);
    }
    return taken;
}

Interruptions interruptions(When when, u64 number) {
    Interruptions i;
    set_interruptions(i, when, number);
    return i;
}

TEST(InterruptionCount, ComesAfterEveryNthInstruction) {
    Interruptions i = interruptions(When::every, 1);
    EXPECT_EQ(times(i, 4), (std::vector<u64>{1, 2, 3, 4}));
    i = interruptions(When::every, 7);
    EXPECT_EQ(times(i, 4), (std::vector<u64>{7, 14, 21, 28}));
    EXPECT_EQ(i.given, 4u);
}

TEST(InterruptionCount, ComesOnceAfterTheNth) {
    Interruptions i = interruptions(When::at, 5);
    EXPECT_EQ(instructions_to_next(i), 5u);
    EXPECT_EQ(times(i, 2), (std::vector<u64>{5}));
    EXPECT_EQ(i.given, 1u);
}

TEST(InterruptionCount, OneThatIsTakenLateDoesNotMoveTheOthers) {
    Interruptions i = interruptions(When::every, 10);
    EXPECT_FALSE(note_retired(i, 9));
    EXPECT_TRUE(note_retired(i, 1));
    EXPECT_EQ(instructions_to_next(i), 1u);
    EXPECT_TRUE(note_retired(i, 3));
    note_taken(i);
    EXPECT_EQ(instructions_to_next(i), 7u);
    EXPECT_TRUE(note_retired(i, 30));
    note_taken(i);
    EXPECT_EQ(i.due, 50u);
}

TEST(InterruptionCount, ASeedDecidesTheDistances) {
    Interruptions i = interruptions(When::scattered, 7);
    const std::vector<u64> first = times(i, 50);
    i = interruptions(When::scattered, 7);
    EXPECT_EQ(times(i, 50), first);
    i = interruptions(When::scattered, 8);
    EXPECT_NE(times(i, 50), first);
    i = interruptions(When::scattered, 0);
    EXPECT_EQ(times(i, 50).size(), 50u);
}

TEST(InterruptionCount, DistancesAreOfEveryMagnitude) {
    constexpr u64 count = 14'000;
    std::array<u64, 64> magnitude{};
    u64 sum = 0;
    for (u64 n = 0; n < count; ++n) {
        const u64 distance = distance_to_next(42, n);
        ASSERT_GE(distance, 1u);
        ASSERT_LE(distance, 16'383u);
        ++magnitude[static_cast<size_t>(std::bit_width(distance)) - 1];
        sum += distance;
    }
    // Five standard deviations of about 30.
    for (size_t n = 0; n < 14; ++n) {
        EXPECT_GT(magnitude[n], 850u) << n;
        EXPECT_LT(magnitude[n], 1150u) << n;
    }
    EXPECT_NEAR(static_cast<double>(sum) / count, 1754.9, 150.0);
}

TEST(InterruptionCount, TheSameAskedForAgainGoesOn) {
    Interruptions i = interruptions(When::every, 10);
    static_cast<void>(note_retired(i, 4));
    set_interruptions(i, When::every, 10);
    EXPECT_EQ(i.retired, 4u);
    set_interruptions(i, When::every, 11);
    EXPECT_EQ(i.retired, 0u);
    EXPECT_EQ(i.due, 11u);
    set_interruptions(i, When::never, 0);
    EXPECT_EQ(i.due, ~u64{0});
}

// Ten rounds: rcx counts them, rbx sums; then ENCLU[EEXIT] to the end.
constexpr u8 counting[] = {
    0xb9, 0x0a, 0x00, 0x00, 0x00,  // 0: mov ecx, 10
    0x31, 0xd2,                    // 5: xor edx, edx
    0x48, 0x01, 0xca,              // 7: add rdx, rcx
    0xff, 0xc9,                    // a: dec ecx
    0x75, 0xf9,                    // c: jnz 7
    0xbb, 0x00, 0xa0, 0x00, 0x00,  // e: mov ebx, 0xa000
    0xb8, 0x04, 0x00, 0x00, 0x00,  // 13: mov eax, 4
    0x0f, 0x01, 0xd7,              // 18: enclu
};
constexpr u64 entry = elrange + code_offset + 0x10;
constexpr u64 counting_instructions = 2 + 3 * 10 + 3;
constexpr u64 sum_of_rounds = 55;
constexpr u64 the_end = 0xa000;

constexpr u8 enclu_code[] = {0x0f, 0x01, 0xd7};
constexpr u8 to_itself[] = {0xeb, 0xfe};

/// The enclave of EnclaveMachine with code in it, entered by ENCLU at outside_rip; the AEP is an
/// ENCLU, too.
class Interrupted : public ::testing::Test {
protected:
    void SetUp() override {
        m.build_and_initialise();
        put(counting);
        std::memcpy(&m.at<u8>(outside_rip), enclu_code, sizeof enclu_code);
        std::memcpy(&m.at<u8>(aep), enclu_code, sizeof enclu_code);
        std::memcpy(&m.at<u8>(the_end), to_itself, sizeof to_itself);
        m.c.gpr[rax] = 2;
        m.c.gpr[rbx] = elrange + tcs_offset;
        m.c.gpr[rcx] = aep;
        m.c.gpr[rsp] = 0xf000;
        m.c.rip = outside_rip;
    }
    template <size_t size>
    void put(const u8 (&code)[size]) {
        std::memcpy(m.epc.page(code_page) + 0x10, code, size);
    }
    Interruptions& asked(When when, u64 number) {
        set_interruptions(m.epc.interruptions, when, number);
        return m.epc.interruptions;
    }
    /// One instruction, and what is due after it.
    void step() { ASSERT_EQ(run(m.c, now(m.c) + 1), RunOutcome::time); }
    void run_to_the_end() {
        for (unsigned n = 0; n < 10'000 && m.c.rip != the_end; ++n)
            ASSERT_EQ(run(m.c, now(m.c) + slice), RunOutcome::time);
        ASSERT_EQ(m.c.rip, the_end);
        EXPECT_FALSE(m.c.enclave.active);
        EXPECT_EQ(m.tcs().cssa, 0u);
    }

    EnclaveMachine m;
    u64 slice = 1;  // the end is a loop: with more the run overshoots, and that is no matter
};

TEST_F(Interrupted, NobodyAskedAndNothingIsCounted) {
    run_to_the_end();
    EXPECT_EQ(m.c.gpr[rdx], sum_of_rounds);
    EXPECT_EQ(m.epc.interruptions.retired, 0u);
    EXPECT_EQ(now(m.c), 1 + counting_instructions);
}

TEST_F(Interrupted, AfterEveryInstructionAndTheResultIsTheSame) {
    const Interruptions& i = asked(When::every, 1);
    run_to_the_end();
    EXPECT_EQ(m.c.gpr[rdx], sum_of_rounds);
    EXPECT_EQ(i.retired, counting_instructions);
    // After EEXIT there is no enclave left to interrupt.
    EXPECT_EQ(i.given, counting_instructions - 1);
    // Each costs an ERESUME and nothing else.
    EXPECT_EQ(now(m.c), 1 + counting_instructions + i.given);
}

TEST_F(Interrupted, InOneRunAsInManyOfOneInstruction) {
    const Interruptions& i = asked(When::every, 7);
    slice = 1000;
    run_to_the_end();
    EXPECT_EQ(m.c.gpr[rdx], sum_of_rounds);
    EXPECT_EQ(i.retired, counting_instructions);
    EXPECT_EQ(i.given, 4u);  // after 7, 14, 21 and 28; the 35th is EEXIT
}

TEST_F(Interrupted, AtTheKthTheNextInstructionIsInTheFrame) {
    asked(When::at, 5);  // mov, xor, add, dec, jnz
    step();              // EENTER
    EXPECT_EQ(m.c.rip, entry);
    for (unsigned n = 0; n < 4; ++n) step();
    EXPECT_TRUE(m.c.enclave.active);
    EXPECT_EQ(m.c.rip, entry + 0xc);
    step();
    EXPECT_FALSE(m.c.enclave.active);
    EXPECT_EQ(m.c.rip, aep);
    EXPECT_EQ(m.c.gpr[rax], 3u);
    EXPECT_EQ(m.c.gpr[rbx], elrange + tcs_offset);
    EXPECT_EQ(m.c.gpr[rcx], aep);
    EXPECT_EQ(m.c.gpr[rdx], 0u);
    EXPECT_EQ(m.c.gpr[rsp], 0xf000u);
    EXPECT_EQ(m.gprsgx().rip, entry + 7);
    EXPECT_EQ(m.gprsgx().rdx, 10u);
    EXPECT_EQ(m.gprsgx().rcx, 9u);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0u);
    EXPECT_FALSE(Rflags::from_raw(m.gprsgx().rflags).has(Rflag::rf));
    EXPECT_EQ(m.tcs().cssa, 1u);
    EXPECT_EQ(m.c.event.activity, ActivityState::active);
    run_to_the_end();
    EXPECT_EQ(m.c.gpr[rdx], sum_of_rounds);
    EXPECT_EQ(m.epc.interruptions.given, 1u);
}

TEST_F(Interrupted, EnteringIsNoInstructionOfTheEnclave) {
    asked(When::every, 1);
    step();
    EXPECT_TRUE(m.c.enclave.active);
    EXPECT_EQ(m.epc.interruptions.retired, 0u);
    step();  // mov
    EXPECT_EQ(m.c.rip, aep);
    EXPECT_EQ(m.gprsgx().rip, entry + 5);
    step();  // ERESUME
    EXPECT_TRUE(m.c.enclave.active);
    EXPECT_EQ(m.c.rip, entry + 5);
    EXPECT_EQ(m.epc.interruptions.retired, 1u);
}

TEST_F(Interrupted, WhatIsDueAfterEexitComesAfterTheNextEntrysFirstInstruction) {
    asked(When::at, counting_instructions);
    run_to_the_end();
    EXPECT_EQ(m.epc.interruptions.retired, counting_instructions);
    EXPECT_EQ(m.epc.interruptions.given, 0u);
    m.c.gpr[rax] = 2;
    m.c.gpr[rbx] = elrange + tcs_offset;
    m.c.gpr[rcx] = aep;
    m.c.rip = outside_rip;
    step();
    EXPECT_TRUE(m.c.enclave.active);
    step();
    EXPECT_EQ(m.c.rip, aep);
    EXPECT_EQ(m.gprsgx().rip, entry + 5);
    EXPECT_EQ(m.epc.interruptions.given, 1u);
}

/// Registers of the system, so that it runs what the other one does.
void become_like(Cpu& c, const Cpu& other) {
    c.cr0 = other.cr0;
    c.cr3 = other.cr3;
    c.cr4 = other.cr4;
    c.efer = other.efer;
    c.xcr0 = other.xcr0;
    c.msr = other.msr;
    c.segment = other.segment;
    c.cpl = other.cpl;
    c.vector.mxcsr = 0x1f80;
    c.vmx.preemption_deadline = other.vmx.preemption_deadline;
    c.event.activity = ActivityState::active;
}

TEST_F(Interrupted, TheInstructionsOfAllProcessorsAreCountedTogether) {
    const auto second = std::make_unique<Cpu>();
    reset(*second, m.system, 1);
    become_like(*second, m.c);
    const Interruptions& i = asked(When::every, 7);
    // Whoever is not inside resumes the thread.
    std::array<Cpu*, 2> processors{&m.c, second.get()};
    for (u64 visit = 0; visit < 4; ++visit) {
        Cpu& c = *processors[visit % 2];
        ASSERT_EQ(run(c, now(c) + 1 + 7), RunOutcome::time);
        EXPECT_EQ(c.rip, aep);
        EXPECT_EQ(i.given, visit + 1);
        EXPECT_EQ(i.retired, 7 * (visit + 1));
        Cpu& next = *processors[(visit + 1) % 2];
        next.rip = aep;
        for (const unsigned row : {rax, rbx, rcx, rsp}) next.gpr[row] = c.gpr[row];
    }
    run_to_the_end();
    EXPECT_EQ(m.c.gpr[rdx], sum_of_rounds);
    destroy(*second);
}

TEST_F(Interrupted, OneThatIsDueOnOneProcessorIsNotTakenByAnother) {
    Interruptions& i = asked(When::every, 1);
    step();
    i.pending_on = 1;
    EXPECT_FALSE(take_interruption(m.c));
    i.pending_on = 0;
    EXPECT_TRUE(take_interruption(m.c));
    EXPECT_FALSE(take_interruption(m.c));
}

/// A runtime that goes wrong when its enclave is interrupted, and only then: it enters anew at the
/// AEP instead of resuming. The enclave does not look at CSSA and begins again.
TEST_F(Interrupted, ARuntimeThatDoesNotResumeIsFound) {
    // inc dword [rip + data]; mov ebx, 0xa000; mov eax, 4; enclu
    constexpr u8 adding[] = {0xff, 0x05, 0xea, 0x2f, 0x00, 0x00, 0xbb, 0x00, 0xa0, 0x00,
                             0x00, 0xb8, 0x04, 0x00, 0x00, 0x00, 0x0f, 0x01, 0xd7};
    // mov eax, 2; enclu
    constexpr u8 wrong_aep[] = {0xb8, 0x02, 0x00, 0x00, 0x00, 0x0f, 0x01, 0xd7};
    put(adding);
    std::memcpy(&m.at<u8>(aep), wrong_aep, sizeof wrong_aep);
    u32& data = m.epc.at<u32>(data_page * page_size);
    const u32 before = data;
    while (m.c.rip != the_end) step();
    EXPECT_EQ(data, before + 1);
    EXPECT_EQ(m.tcs().cssa, 0u);

    asked(When::at, 1);
    m.c.gpr[rax] = 2;
    m.c.gpr[rbx] = elrange + tcs_offset;
    m.c.gpr[rcx] = aep;
    m.c.rip = outside_rip;
    for (unsigned n = 0; n < 100 && m.c.rip != the_end; ++n) step();
    EXPECT_EQ(m.c.rip, the_end);
    EXPECT_EQ(data, before + 3);
    EXPECT_EQ(m.tcs().cssa, 1u);
}

TEST_F(Interrupted, OneIterationOfARepeatedInstructionCountsAsOne) {
    // mov ecx, 5; lea rdi, [rip + data]; xor eax, eax; rep stosb; ...
    constexpr u8 filling[] = {
        0xb9, 0x05, 0x00, 0x00, 0x00,              // 0: mov ecx, 5
        0x48, 0x8d, 0x3d, 0xe4, 0x2f, 0x00, 0x00,  // 5: lea rdi, [rip + 0x2fe4]
        0xf3, 0xaa,                                // c: rep stosb
        0xbb, 0x00, 0xa0, 0x00, 0x00,              // e: mov ebx, 0xa000
        0xb8, 0x04, 0x00, 0x00, 0x00,              // 13: mov eax, 4
        0x0f, 0x01, 0xd7,                          // 18: enclu
    };
    put(filling);
    asked(When::at, 4);
    slice = 1000;
    run(m.c, now(m.c) + 1 + 4);
    EXPECT_EQ(m.c.rip, aep);
    EXPECT_EQ(m.gprsgx().rip, entry + 0xc);
    EXPECT_EQ(m.gprsgx().rcx, 3u);
    EXPECT_EQ(m.gprsgx().rdi, elrange + data_offset + 2);
    EXPECT_TRUE(Rflags::from_raw(m.gprsgx().rflags).has(Rflag::rf));
    EXPECT_FALSE(m.c.event.repeating);
    run_to_the_end();
    EXPECT_EQ(m.epc.interruptions.retired, 2u + 5 + 3);
}

TEST_F(Interrupted, TheShadowOfStiHoldsItBackForAnInstruction) {
    // sti; nop; nop
    constexpr u8 allowing[] = {0xfb, 0x90, 0x90};
    put(allowing);
    m.c.flags = Rflags::from_raw(m.c.flags.to_raw() | 0x3000);  // IOPL 3
    asked(When::at, 1);
    step();
    step();
    EXPECT_TRUE(m.c.enclave.active);
    EXPECT_TRUE(m.c.event.blocking.has(Interruptibility::sti));
    step();
    EXPECT_EQ(m.c.rip, aep);
    EXPECT_EQ(m.gprsgx().rip, entry + 2);
    EXPECT_EQ(m.epc.interruptions.retired, 2u);
    EXPECT_FALSE(m.c.event.blocking.has(Interruptibility::sti));
}

TEST_F(Interrupted, WhatFaultsDoesNotCount) {
    // mov ecx, 10; ud2
    constexpr u8 failing[] = {0xb9, 0x0a, 0x00, 0x00, 0x00, 0x0f, 0x0b};
    put(failing);
    asked(When::at, 2);
    step();
    step();
    EXPECT_EQ(m.epc.interruptions.retired, 1u);
    // No IDT: the exception itself shuts the processor down, after its AEX.
    EXPECT_EQ(run(m.c, now(m.c) + 1), RunOutcome::shutdown);
    EXPECT_FALSE(m.c.enclave.active);
    EXPECT_EQ(m.gprsgx().rip, entry + 5);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0x8000'0306u);
    EXPECT_EQ(m.epc.interruptions.retired, 1u);
    EXPECT_EQ(m.epc.interruptions.given, 0u);
}

TEST_F(Interrupted, ASingleStepTrapOfTheSameBoundaryFindsTheEnclaveLeft) {
    m.tcs().flags.set(TcsFlag::dbgoptin);
    asked(When::at, 1);
    step();
    ASSERT_TRUE(m.c.enclave.debug_opt_in);
    m.c.flags.set(Rflag::tf);
    // The trap is taken at the AEP, and there is no IDT.
    EXPECT_EQ(run(m.c, now(m.c) + 1), RunOutcome::shutdown);
    EXPECT_EQ(m.gprsgx().rip, entry + 5);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0u);
    EXPECT_EQ(m.epc.interruptions.given, 1u);
    EXPECT_EQ(m.tcs().cssa, 1u);
}

}  // namespace
}  // namespace postern::cpu::sgx
