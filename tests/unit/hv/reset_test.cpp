// SPDX-License-Identifier: Apache-2.0
// The state a virtual processor begins in, against the manual's table, and the way an application
// processor is brought up.
#include "hv/reset.h"

#include <memory>

#include "arch/apic_message.h"
#include "arch/vmx/controls.h"
#include "arch/vmx/msr_bitmap.h"
#include "tests/support/fake_port.h"
#include "tests/unit/hv/apic_machine.h"

namespace postern::hv::test {
namespace {

// SDM 3A, table "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT".
constexpr GuestState reset = state_after_reset(0x606a6);
static_assert(reset.rflags == 2 && reset.rip == 0xfff0);
static_assert(reset.cr0 == 0x6000'0010 && reset.cr2 == 0 && reset.cr3 == 0 && reset.cr4 == 0);
static_assert(reset.efer == 0);
static_assert(reset.segment[cs].selector == 0xf000 && reset.segment[cs].base == 0xffff'0000);
static_assert(reset.segment[cs].limit == 0xffff && reset.segment[cs].present());
static_assert([] {
    for (const SegmentIndex index : {ss, ds, es, fs, gs, ldtr, tr}) {
        const Segment& segment = reset.segment[index];
        if (segment.selector != 0 || segment.base != 0 || segment.limit != 0xffff) return false;
        if (!segment.present() || segment.unusable()) return false;
    }
    return true;
}());
static_assert(reset.gpr[rdx] == 0x606a6);
static_assert([] {
    for (const Gpr gpr : {rax, rbx, rcx, rsi, rdi, rbp, rsp, r8, r15})
        if (reset.gpr[gpr] != 0) return false;
    return true;
}());
static_assert(reset.gdtr_base == 0 && reset.gdtr_limit == 0xffff);
static_assert(reset.idtr_base == 0 && reset.idtr_limit == 0xffff);
static_assert(reset.dr6 == 0xffff'0ff0 && reset.dr7 == 0x400);

static_assert(state_after_init(0, 0x8000'0031).cr0 == 0x10, "CD and NW as they were");
static_assert(state_after_init(0, 0x4000'0031).cr0 == 0x4000'0010);
static_assert(start_up_code(0x9a).selector == 0x9a00 && start_up_code(0x9a).base == 0x9'a000);

struct Waiting {
    explicit Waiting(unsigned number = 1) : vcpu{processor, vm, number} {
        processor.cpuid_leaves[{1, 0}].eax = 0x606a6;
        started = vcpu.start_waiting();
    }

    FakeProcessor processor;
    FakeDevices devices;
    FakeWatcher watcher;
    Vm vm{processor, devices, watcher, default_config()};
    Vcpu vcpu;
    bool started = false;
};

bool is_ia32e(FakeProcessor& processor) {
    return EntryControls::from_raw(static_cast<u32>(processor.at(VmcsField::vm_entry_controls)))
        .has(EntryControl::ia32e_mode_guest);
}

/// From a processor with APIC ID 0.
bool send(Waiting& waiting, DeliveryMode mode, u8 vector) {
    return waiting.vcpu.receive({1, false, false, mode, vector});
}

TEST(Startup, AWaitingProcessorIsNotEnteredBeforeItsStartUpMessage) {
    Waiting waiting;
    ASSERT_TRUE(waiting.started);
    EXPECT_FALSE(waiting.vcpu.wants_to_run());
    EXPECT_EQ(waiting.vcpu.run_once(), Next::halt);
    EXPECT_TRUE(waiting.processor.entries.empty());
    EXPECT_EQ(waiting.vcpu.registers().gpr[rdx], 0x606a6u);
}

TEST(Startup, TheVectorIsThePageOfTheFirstInstruction) {
    Waiting waiting;
    FakeProcessor& processor = waiting.processor;
    ASSERT_TRUE(send(waiting, DeliveryMode::start_up, 0x9a));
    EXPECT_TRUE(waiting.vcpu.wants_to_run());
    waiting.processor.exits_with(ExitReason{BasicReason::external_interrupt}, {.rip = 0});
    EXPECT_EQ(waiting.vcpu.run_once(), Next::resume);
    EXPECT_EQ(processor.at(VmcsField::guest_cs_selector), 0x9a00u);
    EXPECT_EQ(processor.at(VmcsField::guest_cs_base), 0x9'a000u);
    EXPECT_EQ(processor.at(VmcsField::guest_cs_limit), 0xffffu);
    EXPECT_TRUE(processor.rip_was_written());
    EXPECT_EQ(processor.at(VmcsField::guest_cr0), 0x30u) << "NE is held at 1";
    EXPECT_EQ(processor.at(VmcsField::cr0_read_shadow), 0x6000'0010u);
    EXPECT_FALSE(is_ia32e(processor));
}

TEST(Init, BringsARunningProcessorBackToItsWait) {
    Waiting waiting;
    FakeProcessor& processor = waiting.processor;
    ASSERT_TRUE(send(waiting, DeliveryMode::start_up, 1));
    processor.exits_with(ExitReason{BasicReason::ept_violation}.in_enclave(), {.gpa = nowhere});
    EXPECT_EQ(waiting.vcpu.run_once(), Next::resume);
    processor.at(VmcsField::guest_ia32_efer) = 0x500;
    processor.at(VmcsField::vm_entry_controls) |= 1 << 9;
    processor.at(VmcsField::guest_ia32_pat) = 0x0606'0606'0606'0606;
    processor.msrs[0xc000'0081] = 7;
    processor.dr[0] = 0x1234;
    waiting.vcpu.registers().gpr[rbx] = 9;
    ASSERT_TRUE(send(waiting, DeliveryMode::init, 0));
    EXPECT_EQ(waiting.vcpu.run_once(), Next::halt);
    EXPECT_FALSE(is_ia32e(processor));
    EXPECT_EQ(processor.at(VmcsField::guest_ia32_efer), 0u);
    EXPECT_EQ(processor.at(VmcsField::guest_rip), 0xfff0u);
    EXPECT_EQ(processor.at(VmcsField::guest_cs_base), 0xffff'0000u);
    EXPECT_EQ(processor.at(VmcsField::guest_interruptibility_state), 0u) << "enclave bit too";
    EXPECT_EQ(processor.at(VmcsField::guest_ia32_pat), 0x0606'0606'0606'0606u) << "kept";
    EXPECT_EQ(processor.msrs[0xc000'0081], 7u) << "kept";
    EXPECT_EQ(processor.dr[0], 0u);
    EXPECT_EQ(processor.dr[6], 0xffff'0ff0u);
    EXPECT_EQ(waiting.vcpu.registers().gpr[rbx], 0u);
    EXPECT_EQ(waiting.vcpu.counters().of(Anomaly::rip_write_refused), 0u);
    ASSERT_TRUE(send(waiting, DeliveryMode::start_up, 2));
    processor.exits_with(ExitReason{BasicReason::external_interrupt});
    EXPECT_EQ(waiting.vcpu.run_once(), Next::resume);
    EXPECT_FALSE(processor.injections.back().has_value()) << "the guard's #UD is gone";
}

TEST(Init, TheFirstProcessorGoesOnAtTheResetVector) {
    Machine machine;
    ASSERT_TRUE(machine.vcpu.receive({0, false, false, DeliveryMode::init, 0}));
    machine.processor.exits_with(ExitReason{BasicReason::external_interrupt}, {.rip = 0xfff0});
    EXPECT_EQ(machine.vcpu.run_once(), Next::resume);
    EXPECT_EQ(machine.processor.at(VmcsField::guest_cs_base), 0xffff'0000u);
}

TEST(Reset, GivesTheMsrsTheirFirstValuesAndTheCounterItsStart) {
    Machine machine;
    for (const u32 msr : {0x48u, 0xda0u, 0xc000'0081u, 0xc000'0103u})
        machine.processor.msrs[msr] = 5;
    machine.processor.at(VmcsField::guest_ia32_pat) = 0;
    machine.processor.at(VmcsField::guest_ia32_sysenter_cs) = 8;
    machine.processor.now = 4000;
    ASSERT_TRUE(machine.vcpu.reset());
    for (const u32 msr : {0x48u, 0xda0u, 0xc000'0081u, 0xc000'0103u})
        EXPECT_EQ(machine.processor.msrs[msr], 0u) << std::hex << msr;
    EXPECT_EQ(machine.processor.at(VmcsField::guest_ia32_pat), 0x0007'0406'0007'0406u);
    EXPECT_EQ(machine.processor.at(VmcsField::guest_ia32_sysenter_cs), 0u);
    EXPECT_EQ(machine.vcpu.guest_tsc(), 0u);
    EXPECT_EQ(machine.processor.at(VmcsField::tsc_offset), u64{0} - 4000);
}

TEST(Reset, ReachesWhatNoVmExitChanges) {
    Machine machine;
    machine.processor.guest_pkru = 5;
    ASSERT_TRUE(machine.vcpu.reset());
    EXPECT_EQ(machine.processor.extended_resets, 1u);
    EXPECT_EQ(machine.processor.guest_pkru, 0u);
}

TEST(Reset, OfAnL1WhoseGuestRunsIsOfTheFirstVmcs) {
    ApicMachine machine{Way::whole, 1, true};
    ASSERT_TRUE(machine.wrmsr(0x1b, 0xfee0'0d00));
    constexpr std::array kept_by_init{
        VmcsField::guest_ia32_sysenter_cs, VmcsField::guest_ia32_sysenter_esp,
        VmcsField::guest_ia32_sysenter_eip, VmcsField::guest_ia32_debugctl,
        VmcsField::guest_pending_debug_exceptions};
    for (const VmcsField field : kept_by_init) machine.processor.at(field) = 2;
    const u64 bitmap = machine.processor.at(VmcsField::msr_bitmap);
    machine.enter_l2();
    ASSERT_TRUE(machine.vcpu->reset());
    EXPECT_EQ(machine.processor.at(VmcsField::msr_bitmap), bitmap);
    for (const VmcsField field : kept_by_init)
        EXPECT_EQ(machine.processor.at(field), 0u) << name_of(field);
    EXPECT_TRUE(machine.has(SecondaryControl::virtualize_apic_accesses));
    EXPECT_FALSE(machine.has(SecondaryControl::virtualize_x2apic_mode));
    const BitmapBit task_priority = msr_bitmap_bit(0x808, false);
    EXPECT_TRUE(machine.processor.ram.at(bitmap + task_priority.byte) >> task_priority.bit & 1);
}

TEST(Reset, LetsAGuestRunThatWasStopped) {
    Machine machine;
    EXPECT_EQ(machine.normal_exit(BasicReason::triple_fault), Next::stop);
    ASSERT_TRUE(machine.vcpu.reset());
    EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::none);
    EXPECT_EQ(machine.normal_exit(BasicReason::external_interrupt), Next::resume);
}

TEST(Reset, GivesTheLaunchKeyBack) {
    Machine machine;
    const auto state = std::make_unique<Vcpu::State>();
    machine.vcpu.save(*state);
    const auto first = state->sgx.launch_key;
    state->sgx.launch_key = {1, 2, 3, 4};
    ASSERT_TRUE(machine.vcpu.restore(*state));
    ASSERT_TRUE(machine.vcpu.reset());
    machine.vcpu.save(*state);
    EXPECT_EQ(state->sgx.launch_key, first);
}

StartState long_start() {
    StartState state;
    state.rip = kernel_rip;
    state.cr3 = 0x1000;
    state.gpr[rsi] = 0x7000;
    return state;
}

TEST(Restart, LeavesTheVirtualProcessorAsAFirstStartDoes) {
    Machine fresh, used;
    ASSERT_TRUE(used.vcpu.receive({0, false, false, DeliveryMode::nmi, 0}));
    used.enclave_exits(BasicReason::ept_violation, {.gpa = nowhere});
    for (auto& [field, value] : used.processor.vmcs)
        if (!is_read_only(field) && name_of(field).starts_with("guest")) value ^= 0x10;
    used.vcpu.registers().gpr.fill(7);
    used.vcpu.registers().cr2 = 7;
    for (const unsigned n : {0u, 1u, 2u, 3u, 6u}) used.processor.dr[n] = 7;
    used.processor.now = 5'000'000;
    ASSERT_TRUE(used.vcpu.restart(long_start()));
    for (const auto& [field, value] : fresh.processor.vmcs) {
        // The second follows the local APIC before each entry.
        if (field == VmcsField::tsc_offset || field == VmcsField::guest_interrupt_status) continue;
        if (is_read_only(field)) continue;
        EXPECT_EQ(used.processor.at(field), value) << name_of(field);
    }
    auto registers = fresh.vcpu.registers().gpr;
    registers[rsi] = 0x7000;
    EXPECT_EQ(used.vcpu.registers().gpr, registers);
    EXPECT_EQ(used.vcpu.registers().cr2, 0u);
    EXPECT_EQ(used.processor.dr, fresh.processor.dr);
    EXPECT_EQ(used.vcpu.guest_tsc(), 0u);
    EXPECT_FALSE(used.injected().has_value()) << "neither the guard's #UD nor the NMI";
}

TEST(Restart, TakesTheMemoryTypesOfItsFirmware) {
    Machine machine;
    const auto state = std::make_unique<Vcpu::State>();
    machine.processor.msrs[0x2ff] = 0xc00;
    machine.processor.msrs[0x200] = 0x8000'0000;
    ASSERT_TRUE(machine.vcpu.reset());
    machine.vcpu.save(*state);
    EXPECT_EQ(state->msrs.mtrr_def_type, 0u) << "RESET alone: none";
    ASSERT_TRUE(machine.vcpu.restart(long_start()));
    machine.vcpu.save(*state);
    EXPECT_EQ(state->msrs.mtrr_def_type, 0xc00u);
    EXPECT_EQ(state->msrs.mtrr_variable[0], 0x8000'0000u);
}

TEST(Restart, AnotherProcessorWaitsForItsStartUpMessageAgain) {
    Waiting waiting;
    ASSERT_TRUE(send(waiting, DeliveryMode::start_up, 1));
    waiting.processor.exits_with(ExitReason{BasicReason::external_interrupt});
    EXPECT_EQ(waiting.vcpu.run_once(), Next::resume);
    waiting.processor.timer = 1234;
    ASSERT_TRUE(waiting.vcpu.restart_waiting());
    EXPECT_EQ(waiting.processor.timer, ~u64{0}) << "nobody would set it anew";
    EXPECT_EQ(waiting.vcpu.run_once(), Next::halt);
    EXPECT_EQ(waiting.processor.entries.size(), 1u);
    ASSERT_TRUE(send(waiting, DeliveryMode::start_up, 0x9a));
    waiting.processor.exits_with(ExitReason{BasicReason::external_interrupt}, {.rip = 0});
    EXPECT_EQ(waiting.vcpu.run_once(), Next::resume);
    EXPECT_EQ(waiting.processor.at(VmcsField::guest_cs_base), 0x9'a000u);
}

TEST(Restart, TakesNoPagesHoweverOftenItHappens) {
    Machine machine;
    const u32 before = machine.vm.pages().state().used;
    for (int n = 0; n < 1000; ++n) ASSERT_TRUE(machine.vcpu.restart(long_start()));
    EXPECT_EQ(machine.vm.pages().state().used, before);
    EXPECT_TRUE(machine.processor.complaints.empty());
}

/// A processor with its guest in `mode`.
struct Started {
    explicit Started(StartMode mode) {
        StartState state;
        state.mode = mode;
        state.rip = 0x1234;
        state.gpr[rsp] = 0x7000;
        state.code_selector = 0x1000;
        state.data_selector = 0x2000;
        started = vcpu.start(state);
    }

    FakeProcessor processor;
    FakeDevices devices;
    FakeWatcher watcher;
    Vm vm{processor, devices, watcher, default_config()};
    Vcpu vcpu{processor, vm};
    bool started = false;
};

TEST(StartModes, RealModeHasSegmentsThatLieWhereTheirSelectorsSay) {
    Started real{StartMode::real_16};
    ASSERT_TRUE(real.started);
    EXPECT_EQ(real.processor.at(VmcsField::guest_cr0), 0x30u);
    EXPECT_EQ(real.processor.at(VmcsField::cr0_read_shadow), 0x10u);
    EXPECT_EQ(real.processor.at(VmcsField::guest_cs_base), 0x1'0000u);
    EXPECT_EQ(real.processor.at(VmcsField::guest_ds_base), 0x2'0000u);
    EXPECT_EQ(real.processor.at(VmcsField::guest_ds_limit), 0xffffu);
    EXPECT_EQ(real.processor.at(VmcsField::guest_ia32_efer), 0u);
    EXPECT_FALSE(is_ia32e(real.processor));
    EXPECT_EQ(real.processor.at(VmcsField::guest_rsp), 0x7000u);
}

TEST(StartModes, ProtectedModeIsFlatWithoutPaging) {
    Started flat{StartMode::protected_32};
    ASSERT_TRUE(flat.started);
    EXPECT_EQ(flat.processor.at(VmcsField::guest_cr0), 0x31u);
    EXPECT_EQ(flat.processor.at(VmcsField::guest_cr4), 0x2000u);
    EXPECT_EQ(flat.processor.at(VmcsField::cr4_read_shadow), 0u);
    EXPECT_EQ(flat.processor.at(VmcsField::guest_cs_base), 0u);
    EXPECT_EQ(flat.processor.at(VmcsField::guest_cs_access_rights), 0xc09bu);
    EXPECT_EQ(flat.processor.at(VmcsField::guest_cs_limit), 0xffff'ffffu);
    EXPECT_FALSE(is_ia32e(flat.processor));
}

TEST(StartModes, LongModeHasPaging) {
    Started wide{StartMode::long_64};
    ASSERT_TRUE(wide.started);
    EXPECT_EQ(wide.processor.at(VmcsField::guest_cr0), 0x8000'0031u);
    EXPECT_EQ(wide.processor.at(VmcsField::guest_cr4), 0x2020u);
    EXPECT_EQ(wide.processor.at(VmcsField::guest_ia32_efer), 0x500u);
    EXPECT_EQ(wide.processor.at(VmcsField::guest_cs_access_rights), 0xa09bu);
    EXPECT_TRUE(is_ia32e(wide.processor));
}

}  // namespace
}  // namespace postern::hv::test
