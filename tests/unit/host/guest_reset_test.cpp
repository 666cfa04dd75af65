// SPDX-License-Identifier: Apache-2.0
// Hosted guests that reset and begin anew: what the second boot finds of the first.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "arch/sgx/pageinfo.h"
#include "arch/sgx/secs.h"
#include "cpu/model.h"
#include "cpu/sgx/conflict.h"
#include "cpu/vector_state.h"
#include "host/guest.h"
#include "support/hosted_invariants.h"
#include "support/hosted_kernel.h"
#include "unit/platform/elf_image.h"

// Each is loaded at 100000H, where its first instruction is; 300000H is RAM that no loader writes
// and counts boots. The third boot ends the guest with 3: that is what has gone wrong.
asm(R"(
    .pushsection .rodata
    .macro boot                 # EBX: the number of this boot
    incl 0x300000
    movl 0x300000, %ebx
    .endm
    .macro end_at number        # of this boot
    cmpl $\number, %ebx
    jb 77f
    movl %ebx, %eax
    outb %al, $0xf4
77:
    .endm
    .macro ask_for_reset
    movl $0xcf9, %edx
    movb $6, %al
    outb %al, %dx
78: jmp 78b
    .endm
    .macro send command         # to all processors but this one
    movl $0xfee00300, %edi
    movl $\command, (%rdi)
    .endm
    .macro write_to address, value
    movl $\value, \address
    .endm

    .globl reset_plain, reset_plain_end
reset_plain:                    # leaves its counter, a word behind its file and its clock
    boot
    incl 0x101800
    movl 0x101800, %eax
    movl %eax, 0x300010(,%rbx,4)
    rdtsc
    movl %eax, 0x300020(,%rbx,4)
    end_at 2
    ask_for_reset
reset_plain_end:

    .globl reset_for_ever, reset_for_ever_end
reset_for_ever:
    incl 0x300000
    ask_for_reset
reset_for_ever_end:

    .globl reset_by_fault, reset_by_fault_end
reset_by_fault:
    boot
    end_at 2
    ud2
reset_by_fault_end:

    .globl reset_patched, reset_patched_end
reset_patched:                  # changes its code and runs that, too
    boot
    xorl %ecx, %ecx
    jmp 1f                      # what is decoded begins at the same place both times
1:  movl $1, %eax
    movl %eax, 0x300010(,%rbx,4)
    end_at 2
    testl %ecx, %ecx
    jnz 2f
    incl %ecx
    movb $7, 0x100001 + (1b - reset_patched)
    jmp 1b
2:  ask_for_reset
reset_patched_end:

    .globl reset_vectors, reset_vectors_end
reset_vectors:                  # stores XMM1, MXCSR and FCW, then changes them
    boot
    movq %cr4, %rax
    orl $0x600, %eax
    movq %rax, %cr4
    movl %ebx, %eax
    shll $5, %eax
    movups %xmm1, 0x300100(%rax)
    stmxcsr 0x300110(%rax)
    fnstcw 0x300114(%rax)
    end_at 2
    movl $0xffffffff, 0x300200
    movd 0x300200, %xmm1
    movl $0x1fa0, 0x300200
    ldmxcsr 0x300200
    movw $0x77f, 0x300200
    fldcw 0x300200
    ask_for_reset
reset_vectors_end:

    .globl reset_devices, reset_devices_end
reset_devices:                  # leaves no device as it was
    boot
    end_at 2
    movb $0x34, %al
    outb %al, $0x43             # PIT
    outb %al, $0x40
    outb %al, $0x40
    outb %al, $0x61
    outb %al, $0x80
    movb $0, %al
    outb %al, $0x21             # 8259
    movb $0x55, %al
    movl $0x3fd, %edx
    outb %al, %dx
    movl $0x3ff, %edx
    outb %al, %dx               # serial port
    movl $0x80000004, %eax
    movl $0xcf8, %edx
    outl %eax, %dx              # PCI
    movl $0xcfc, %edx
    movl $7, %eax
    outl %eax, %dx
    movl $0x510, %edx
    movw $5, %ax
    outw %ax, %dx               # fw_cfg
    movl $0x602, %edx
    movw $1, %ax
    outw %ax, %dx               # ACPI
    movb $0x0b, %al
    outb %al, $0x70
    movb $0x72, %al
    outb %al, $0x71             # clock: interrupts
    movb $0x50, %al
    outb %al, $0x70
    movb $0x77, %al
    outb %al, $0x71             # and its memory
    movl $0xfec00000, %edi
    movl $0x10, (%rdi)
    movl $0x31, 0x10(%rdi)      # I/O APIC
    ask_for_reset
reset_devices_end:

    .globl reset_enclaves, reset_enclaves_end
reset_enclaves:                 # fills the EPC: a child in every page before its SECS
    boot
    end_at 3
    movq %cr3, %rax
    movq (%rax), %rcx
    andq $-4096, %rcx
    movabsq $0x100000083, %rdx
    movq %rdx, 24(%rcx)
    movq %rax, %cr3             # the EPC at C0000000H
    xorl %eax, %eax
    movl $0x201000, %ebx
    movl $0xc01ff000, %ecx
    encls                       # ECREATE in its last page
    movl $0xc0000000, %ecx
    movl $0x201080, %ebx
1:  movl $1, %eax
    encls                       # EADD
    addq $4096, (%rbx)
    addl $4096, %ecx
    cmpl $0xc01ff000, %ecx
    jb 1b
    movl 0x300000, %ebx
    end_at 2
    ask_for_reset
reset_enclaves_end:

    .globl reset_by_other, reset_by_other_end
reset_by_other:                 # processor 1 asks for it, 0 goes on
    boot
    end_at 2
    write_to 0x8000, 0xb00cf9ba # mov dx, 0cf9h; mov al, 6; out dx, al; hlt
    write_to 0x8004, 0x00f4ee06
    send 0xc4500
    send 0xc4608
1:  jmp 1b
reset_by_other_end:

    .globl reset_beside_others, reset_beside_others_end
reset_beside_others:            # 1 counts at 9000H, 2 halts, 3 is never started
    boot
    end_at 2
    movl $0x9000, %eax
    movl $0xfeeb, (%rax)        # jmp $
    movl $0xf4, 0x8000          # hlt
    send 0xc4500
    movl $0x1000000, 0x10(%rdi)
    movl $0x4609, (%rdi)
    movl $0x2000000, 0x10(%rdi)
    movl $0x4608, (%rdi)
    movl $30000, %ecx
1:  decl %ecx
    jnz 1b
    ask_for_reset
reset_beside_others_end:
    .popsection
)");

#define CODE_OF(name) extern "C" const unsigned char name[], name##_end[]
CODE_OF(reset_plain);
CODE_OF(reset_for_ever);
CODE_OF(reset_by_fault);
CODE_OF(reset_patched);
CODE_OF(reset_vectors);
CODE_OF(reset_devices);
CODE_OF(reset_enclaves);
CODE_OF(reset_by_other);
CODE_OF(reset_beside_others);
#undef CODE_OF

namespace postern::host {
namespace {

constexpr u64 code_at = 0x10'0000, operands_at = 0x20'0000, kept_at = 0x30'0000;

class Watched final : public hv::Watcher {
public:
    void exit(const hv::ExitRecord& record) override { exits.push_back(record); }
    void anomaly(hv::Anomaly, const hv::ExitRecord&) override { ++anomalies; }
    void stopped(const hv::StopReport&) override { ++stops; }
    void reset(const hv::ResetRecord& record) override { resets.push_back(record); }
    void enclave(const hv::EnclaveIdentity& enclave) override { enclaves.push_back(enclave); }

    std::vector<hv::ExitRecord> exits;
    std::vector<hv::ResetRecord> resets;
    std::vector<hv::EnclaveIdentity> enclaves;
    int anomalies = 0, stops = 0;
};

class ResettingGuest : public ::testing::Test {
protected:
    ResettingGuest() {
        config.layout = platform::layout_of(16 * platform::mib, 2 * platform::mib);
        config.model = &cpu::default_model();
        config.on_reset = OnReset::restart;
        config.kernel.name = "test";
    }
    void program(const unsigned char* code, const unsigned char* end) {
        postern::test::ElfFile file;
        file.entry(code_at);
        const auto size = static_cast<size_t>(end - code);
        file.add({1, 0x1000, code_at, size, 0x2000});
        for (size_t i = 0; i < size; ++i) file.put(0x1000 + i, code[i], 1);
        add_operands(file);
        config.kernel.file = file.bytes;
    }
    /// Of reset_enclaves: an enclave of 511 pages.
    static void add_operands(postern::test::ElfFile& file) {
        constexpr u64 base = 0x4000'0000, source = operands_at, zeros = operands_at + 0x2000;
        constexpr u64 infos = operands_at + 0x1000;
        Secs secs{};
        secs.size = 0x20'0000;
        secs.baseaddr = base;
        secs.ssaframesize = 1;
        secs.attributes = {SgxAttributeFlags{SgxAttribute::mode64bit, SgxAttribute::debug},
                           Xcr0Word::from_raw(3)};
        const Secinfo page{SecinfoFlags::from_raw(0x203), {}};
        file.add({1, 0x3000, operands_at, 0x3000, 0x3000});
        file.bytes.resize(0x6000);
        const auto put = [&](u64 at, const auto& value) {
            std::memcpy(&file.bytes[0x3000 + at - operands_at], &value, sizeof value);
        };
        put(source, secs);
        put(infos, Pageinfo{0, source, infos + 64, 0});
        put(infos + 128, Pageinfo{base, zeros, infos + 192, 0xc01f'f000});
        put(infos + 192, page);
    }
    void create() {
        auto made = Guest::create(config, {serial, debug, watched, {}});
        ASSERT_TRUE(made.has_value()) << made.error().what;
        guest = std::move(*made);
    }
    RunResult run(Limits limits = {20'000'000, 0}) {
        create();
        return guest ? guest->run(limits) : RunResult{};
    }
    [[nodiscard]] u32 word(u64 at) {
        u32 value = 0;
        std::memcpy(&value, guest->vm().ram_at(Gpa{at}), sizeof value);
        return value;
    }
    [[nodiscard]] u32 boots() { return word(kept_at); }

    GuestConfig config;
    platform::StringSink serial, debug;
    Watched watched;
    std::unique_ptr<Guest> guest;
};

#define PROGRAM(name) program(name, name##_end)

TEST_F(ResettingGuest, BootsAgainWithTheLoadersMemoryAndTheRestOfItsRam) {
    PROGRAM(reset_plain);
    const RunResult result = run();
    EXPECT_EQ(result.ending, Ending::exit_port) << result.what;
    EXPECT_EQ(result.value, 2u);
    EXPECT_EQ(boots(), 2u) << "what no loader writes stays";
    EXPECT_EQ(word(kept_at + 0x10 + 4), 1u);
    EXPECT_EQ(word(kept_at + 0x10 + 8), 1u) << "a segment's zeros are zeros again";
    EXPECT_EQ(guest->resets(), 1u);
    EXPECT_EQ(watched.anomalies, 0);
    EXPECT_EQ(watched.stops, 0);
    ASSERT_EQ(watched.resets.size(), 1u);
    EXPECT_EQ(watched.resets[0].number, 1u);
    EXPECT_EQ(watched.resets[0].cause, hv::ResetCause::device);
}

TEST_F(ResettingGuest, ItsCounterBeginsAtZeroAndTheMachinesTimeGoesOn) {
    PROGRAM(reset_plain);
    run();
    EXPECT_EQ(word(kept_at + 0x20 + 8), word(kept_at + 0x20 + 4)) << "the same instructions";
    EXPECT_GT(guest->now(), Guest::reset_time);
    EXPECT_GE(watched.exits.back().tsc, watched.resets[0].tsc + Guest::reset_time);
    EXPECT_EQ(guest->vcpu().counters().exits, watched.exits.size()) << "of both boots";
}

TEST_F(ResettingGuest, WithoutTheRestartAResetIsItsEnd) {
    PROGRAM(reset_plain);
    config.on_reset = OnReset::end;
    EXPECT_EQ(run().ending, Ending::reset);
    EXPECT_EQ(boots(), 1u);
    EXPECT_TRUE(watched.resets.empty());
}

TEST_F(ResettingGuest, ATripleFaultIsAResetAsOnAPc) {
    PROGRAM(reset_by_fault);
    const RunResult result = run();
    EXPECT_EQ(result.ending, Ending::exit_port) << result.what;
    EXPECT_EQ(result.value, 2u);
    ASSERT_EQ(watched.resets.size(), 1u);
    EXPECT_EQ(watched.resets[0].cause, hv::ResetCause::triple_fault);
    EXPECT_EQ(guest->vcpu().counters().triple_faults, 1u);
    EXPECT_EQ(guest->vcpu().stop_report().reason, hv::StopReason::none);
}

TEST_F(ResettingGuest, ATripleFaultWithoutTheRestartIsAReport) {
    PROGRAM(reset_by_fault);
    config.on_reset = OnReset::end;
    const RunResult result = run();
    EXPECT_EQ(result.ending, Ending::stopped);
    EXPECT_EQ(result.stop.reason, hv::StopReason::triple_fault);
}

TEST_F(ResettingGuest, OneThatResetsForEverComesToItsLimit) {
    PROGRAM(reset_for_ever);
    const RunResult result = run({10'000'000, 0});
    EXPECT_EQ(result.ending, Ending::instruction_limit);
    EXPECT_EQ(result.instructions, 10'000'000u) << "to the instruction";
    EXPECT_EQ(guest->resets(), 10u);
    EXPECT_EQ(boots(), 10u);
}

TEST_F(ResettingGuest, CodeThatTheFirstBootChangedIsTheLoadersAgain) {
    PROGRAM(reset_patched);
    EXPECT_EQ(run().value, 2u);
    EXPECT_EQ(word(kept_at + 0x10 + 4), 7u);
    EXPECT_EQ(word(kept_at + 0x10 + 8), 1u);
}

TEST_F(ResettingGuest, TheProcessorsExtendedStateIsThatOfAReset) {
    PROGRAM(reset_vectors);
    const RunResult result = run();
    EXPECT_EQ(result.value, 2u) << result.what;
    const u64 first = kept_at + 0x100 + 32, second = first + 32;
    for (u64 at = 0; at < 32; at += 4) EXPECT_EQ(word(second + at), word(first + at)) << at;
    EXPECT_EQ(word(second), 0u);
    EXPECT_EQ(word(second + 16), cpu::mxcsr_reset);
    EXPECT_EQ(word(second + 20) & 0xffff, 0x40u);
}

TEST_F(ResettingGuest, EveryDeviceIsAsAtPowerOn) {
    PROGRAM(reset_devices);
    config.test_devices = true;
    create();
    const platform::PcDevices::State before = guest->devices().state();
    while (guest->resets() == 0) ASSERT_FALSE(guest->run_until(guest->now() + 1));
    const platform::PcDevices::State used = guest->devices().state();
    EXPECT_NE(std::memcmp(&used.pit, &before.pit, sizeof before.pit), 0);
    EXPECT_NE(std::memcmp(&used.ioapic, &before.ioapic, sizeof before.ioapic), 0);
    EXPECT_NE(std::memcmp(&used.pic, &before.pic, sizeof before.pic), 0);
    EXPECT_EQ(guest->run({20'000'000, 0}).value, 2u);
    platform::PcDevices::State after = guest->devices().state();
    const auto& clock = after.rtc;
    EXPECT_EQ(clock.memory[0x50], 0x77) << "a battery keeps it";
    EXPECT_EQ(clock.memory[0x0b], 0x02) << "no interrupts";
    EXPECT_EQ(clock.seconds, before.rtc.seconds);
    after.rtc = before.rtc;
    after.pit.seen = before.pit.seen;
    after.power.seen = before.power.seen;
    EXPECT_EQ(std::memcmp(&after, &before, sizeof before), 0);
}

TEST_F(ResettingGuest, TheSecondBootHasTheEpcToItself) {
    PROGRAM(reset_enclaves);
    const RunResult result = run();
    EXPECT_EQ(result.ending, Ending::exit_port) << result.what;
    EXPECT_EQ(result.value, 2u);
    ASSERT_EQ(watched.enclaves.size(), 2u);
    EXPECT_EQ(watched.enclaves[0].secs, watched.enclaves[1].secs);
    EXPECT_EQ(watched.enclaves[1].number, 2u) << "counting goes on";
    EXPECT_EQ(guest->vcpu().counters().triple_faults, 0u);
}

TEST_F(ResettingGuest, WithoutTheScrubTheSecondBootMeetsTheOldPages) {
    PROGRAM(reset_enclaves);
    config.protections.set(hv::Protection::epc_scrub, false);
    const RunResult result = run();
    EXPECT_EQ(result.ending, Ending::exit_port) << result.what;
    EXPECT_EQ(result.value, 3u) << "the second boot died of it";
    EXPECT_EQ(watched.enclaves.size(), 1u);
    ASSERT_EQ(watched.resets.size(), 2u);
    EXPECT_EQ(watched.resets[1].cause, hv::ResetCause::triple_fault);
    const auto fault = std::ranges::find_if(
        watched.exits, [](const hv::ExitRecord& record) { return record.injected == 0x8000'0b0e; });
    ASSERT_NE(fault, watched.exits.end());
    EXPECT_EQ(fault->injected_error_code, 0x8003u) << "#PF of SGX: the page is in use";
}

TEST_F(ResettingGuest, AConflictOfTheScrubIsTriedAgain) {
    PROGRAM(reset_enclaves);
    create();
    auto& conflicts = guest->machine().epc()->conflicts;
    for (const auto& leaf : cpu::sgx::conflict_leaves())
        if (leaf.name == "eremove") conflicts.rate[leaf.row] = cpu::sgx::Conflicts::always / 2;
    EXPECT_EQ(guest->run({20'000'000, 0}).value, 2u);
}

TEST_F(ResettingGuest, AnEpcThatStaysInUseEndsTheRunWithAReport) {
    PROGRAM(reset_enclaves);
    create();
    while (guest->resets() == 0) ASSERT_FALSE(guest->run_until(guest->now() + 1000));
    guest->machine().epc()->hidden(511).active_threads = 1;
    const RunResult result = guest->run({20'000'000, 0});
    EXPECT_EQ(result.ending, Ending::processor);
    EXPECT_NE(result.what.find("cannot be emptied"), std::string::npos) << result.what;
}

TEST_F(ResettingGuest, AnotherProcessorResetsTheOneThatRuns) {
    PROGRAM(reset_by_other);
    config.processors = 2;
    const RunResult result = run();
    EXPECT_EQ(result.ending, Ending::exit_port) << result.what;
    EXPECT_EQ(result.value, 2u);
    ASSERT_EQ(watched.resets.size(), 1u);
    EXPECT_EQ(watched.resets[0].vcpu, 1u);
    EXPECT_EQ(watched.resets[0].cause, hv::ResetCause::device);
    EXPECT_EQ(guest->vcpu(1).apic().state().activity, ActivityState::wait_for_sipi);
}

TEST_F(ResettingGuest, OthersThatRunHaltAndWaitAreResetToo) {
    PROGRAM(reset_beside_others);
    config.processors = 4;
    create();
    while (guest->resets() == 0) ASSERT_FALSE(guest->run_until(guest->now() + 1));
    EXPECT_EQ(guest->vcpu(1).apic().state().activity, ActivityState::active);
    EXPECT_EQ(guest->vcpu(2).apic().state().activity, ActivityState::hlt);
    EXPECT_EQ(guest->vcpu(3).apic().state().activity, ActivityState::wait_for_sipi);
    for (unsigned n = 0; n < 4; ++n)
        EXPECT_FALSE(guest->machine().processor(n).vmx.non_root) << "it has left the guest";
    EXPECT_EQ(guest->run({20'000'000, 0}).value, 2u);
    for (unsigned n = 1; n < 4; ++n) {
        EXPECT_EQ(guest->vcpu(n).apic().state().activity, ActivityState::wait_for_sipi);
        EXPECT_FALSE(guest->vcpu(n).wants_to_run());
    }
}

/// Processor 0 is in an enclave for good; processor 1 resets the guest, and again.
TEST_F(ResettingGuest, AnEnclaveThatRunsIsLeftAndItsPagesAreFree) {
    using namespace postern::test::hosted;
    using test::ept_maps_only_the_guest;
    using test::ReserveWatch;
    Program soup;
    soup.enclave_code = {0xeb, 0xfe};
    Slot start{.code = {0xc7, 0x04, 0x25, 0x00, 0x80, 0x00, 0x00, 0xb9, 0xff, 0xff,
                        0xe2, 0xc7, 0x04, 0x25, 0x04, 0x80, 0x00, 0x00, 0xfe, 0xba,
                        0xf9, 0x0c, 0xc7, 0x04, 0x25, 0x08, 0x80, 0x00, 0x00, 0xb0,
                        0x06, 0xee, 0xf4, 0xbf, 0x00, 0x03, 0xe0, 0xfe,  // mov edi, 0fee00300h
                        0xc7, 0x07, 0x00, 0x45, 0x0c, 0x00,              // INIT to the others
                        0xc7, 0x07, 0x08, 0x46, 0x0c, 0x00,              // start at 8000H
                        0xcc},
               .kernel = true};
    start.gpr[rsp] = at::stack_top;
    Slot enter{.code = {0xb8, 2, 0, 0, 0, 0x0f, 0x01, 0xd7}};  // mov eax, 2; enclu
    enter.gpr[rbx] = at::elrange;
    enter.gpr[rcx] = at::aep;
    enter.gpr[rsp] = at::stack;
    soup.slots = {start, enter};
    config.kernel.file = make_kernel(soup);
    config.layout = layout();
    config.processors = 2;
    create();
    const ReserveWatch reserve{*guest};
    while (guest->resets() < 3) {
        const auto result = guest->run_until(guest->now() + 100'000);
        ASSERT_FALSE(result.has_value()) << result->what;
    }
    const auto left = std::ranges::count_if(watched.exits, [](const hv::ExitRecord& record) {
        return record.vcpu == 0 && record.kind == hv::ExitKind::enclave;
    });
    EXPECT_GE(left, 3) << "by an exit from the enclave, each time";
    ASSERT_EQ(watched.enclaves.size(), 6u) << "created and initialized, three times";
    EXPECT_EQ(watched.enclaves[5].initialized, 1u);
    EXPECT_EQ(watched.enclaves[5].secs, watched.enclaves[0].secs);
    EXPECT_EQ(watched.anomalies, 0);
    EXPECT_FALSE(reserve.look()) << reserve.look().rule;
    EXPECT_FALSE(ept_maps_only_the_guest(*guest));
}

/// A guest of two processors, saved after `from` instructions, goes on as the one that was saved.
class ResetSnapshot : public ResettingGuest {
protected:
    void goes_on_from(u64 where, u64 until) {
        PROGRAM(reset_by_other);
        config.processors = 2;
        create();
        EXPECT_FALSE(guest->run_until(where));
        const platform::snapshot::Bytes bytes = snapshot_bytes(guest->subject());
        watched = {};
        const auto end = guest->run_until(until);
        const std::string digest = state_digest(guest->subject());
        const std::vector<hv::ExitRecord> exits = watched.exits;
        const std::vector<hv::ResetRecord> resets = watched.resets;
        watched = {};
        config.snapshot_follows = true;
        create();
        ASSERT_TRUE(load_snapshot(guest->subject(), bytes, "memory").has_value());
        EXPECT_EQ(guest->now(), where);
        EXPECT_EQ(guest->run_until(until).has_value(), end.has_value());
        EXPECT_EQ(state_digest(guest->subject()), digest) << where;
        EXPECT_EQ(watched.exits, exits);
        EXPECT_EQ(watched.resets, resets);
        config.snapshot_follows = false;
    }
    u64 time_of_reset() {
        PROGRAM(reset_by_other);
        config.processors = 2;
        run();
        return watched.resets.at(0).tsc;
    }
};

TEST_F(ResetSnapshot, OneFromBeforeTheResetRestartsAlike) { goes_on_from(10, 5'000'000); }

TEST_F(ResetSnapshot, OneFromTheMiddleOfTheResetRestartsAlike) {
    const u64 when = time_of_reset();
    goes_on_from(when, when + Guest::reset_time + 3);
    goes_on_from(when + 1000, when + Guest::reset_time + 3);
    goes_on_from(when + Guest::reset_time, when + Guest::reset_time + 3);
}

TEST_F(ResetSnapshot, OneFromTheSecondBootGoesOnAlike) {
    const u64 when = time_of_reset() + Guest::reset_time;
    goes_on_from(when + 1, when + 3);
    goes_on_from(when + 2, when + 100);
}

TEST_F(ResetSnapshot, WhereARunIsCutIsNotSeen) {
    const u64 when = time_of_reset() + Guest::reset_time + 3;
    PROGRAM(reset_by_other);
    create();
    EXPECT_FALSE(guest->run_until(when));
    const std::string whole = state_digest(guest->subject());
    create();
    for (u64 at = 0; at < when;) EXPECT_FALSE(guest->run_until(at = std::min(at + 777, when)));
    EXPECT_EQ(state_digest(guest->subject()), whole);
}

TEST_F(ResetSnapshot, AResetAtNoTimeThatCanBeIsRefused) {
    PROGRAM(reset_plain);
    create();
    Guest::State state = guest->state();
    EXPECT_TRUE(guest->plausible(state));
    state.restart_at = state.turns.now + Guest::reset_time;
    EXPECT_TRUE(guest->plausible(state));
    ++state.restart_at;
    EXPECT_FALSE(guest->plausible(state));
}

}  // namespace
}  // namespace postern::host
