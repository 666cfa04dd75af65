// SPDX-License-Identifier: Apache-2.0
// A guest with a local APIC: with the processor's APIC virtualization, with its TPR shadow alone,
// or with neither.
#pragma once

#include <cstring>
#include <memory>
#include <optional>

#include "arch/vmx/exit_qualification.h"
#include "hv/apic/virtual_apic.h"
#include "tests/support/fake_port.h"

namespace postern::hv::test {

inline constexpr u64 interrupts_on = 0x202;
enum class Way : u8 { emulated, shadow, whole };

struct ApicMachine {
    explicit ApicMachine(Way way = Way::emulated, unsigned vcpus = 1, bool nested = false) {
        if (nested) processor.offer_vmx();
        config.nested = nested;
        if (way == Way::shadow)
            processor.msrs[static_cast<u32>(Msr::vmx_procbased_ctls2)] =
                ControlCapability{0, ~0u & ~0x311u}.to_raw();
        config.apicv = way != Way::emulated;
        config.vcpus = vcpus;
        vm.emplace(processor, devices, watcher, config);
        EXPECT_TRUE(vm->create());
        EXPECT_TRUE(vm->add_memory(
            {Gpa{0}, host::fake::guest_ram_size, SlotKind::ram, Hpa{guest_ram_host}}));
        vcpu.emplace(processor, *vm);
        StartState start;
        start.rip = kernel_rip;
        EXPECT_TRUE(vcpu->start(start));
        processor.cpuid_leaves[{1, 0}].ecx |= 1u << 21;
        processor.cpuid_leaves[{0x8000'0008, 0}].eax = 40;
    }
    Next exits(ExitReason reason, const ExitInfo& info = {}) {
        processor.writes.clear();
        processor.exits_with(reason, info);
        return vcpu->run_once();
    }
    Next exits(BasicReason reason, const ExitInfo& info = {}) {
        return exits(ExitReason{reason}, info);
    }
    /// What the next entry injects; the guest then leaves by an external interrupt.
    Injected injected(const ExitInfo& info = {.rflags = interrupts_on}) {
        EXPECT_EQ(exits(BasicReason::external_interrupt, info), Next::resume);
        return processor.injections.back();
    }
    void expect_interrupt(u8 vector, const ExitInfo& info = {.rflags = interrupts_on}) {
        const Injected event = injected(info);
        EXPECT_TRUE(event.has_value());
        EXPECT_EQ(event.information, InterruptionInformation::external(vector));
    }
    void expect_nothing(const ExitInfo& info = {.rflags = interrupts_on}) {
        EXPECT_FALSE(injected(info).has_value());
    }
    void message(u8 vector, bool level = false, DeliveryMode mode = DeliveryMode::fixed) {
        vm->deliver({0, false, level, mode, vector});
    }
    bool wrmsr(u32 msr, u64 value) {
        vcpu->registers().gpr[rax] = value & 0xffff'ffff;
        vcpu->registers().gpr[rdx] = value >> 32;
        EXPECT_EQ(exits(BasicReason::wrmsr, {.length = 2, .rflags = interrupts_on, .rcx = msr}),
                  Next::resume);
        return vcpu->last_exit().action == Action::emulated;
    }
    void set_cr8(u64 value) {
        vcpu->registers().gpr[rbx] = value;
        exits(BasicReason::control_register_access,
              {.qualification = CrAccess::mov_to(8, rbx).to_raw(),
               .length = 4,
               .rflags = interrupts_on});
    }
    /// L1 is where its guest runs, on VMCS02, with a VMCS of its own that asks for nothing.
    void enter_l2() {
        const auto state = std::make_unique<Vcpu::State>();
        vcpu->save(*state);
        ASSERT_NE(state->nested.vmcs02, 0u);
        state->nested.vmxon = state->nested.current = 0x1000;
        state->nested.built = state->nested.in_l2 = 1;
        ASSERT_TRUE(vcpu->restore(*state));
        processor.vmptrld(Hpa{state->nested.vmcs02});
        processor.at(VmcsField::msr_bitmap) = state->nested.msr_bitmap02;
    }
    /// What the guest writes where the processor virtualizes the write, without what follows.
    void put(u32 index, u32 value) {
        std::memcpy(processor.ram.data() + vcpu->apic().state().page + index * 16, &value,
                    sizeof value);
    }
    [[nodiscard]] bool has(PrimaryControl control) {
        return PrimaryControls::from_raw(
                   static_cast<u32>(processor.at(VmcsField::primary_processor_based_controls)))
            .has(control);
    }
    [[nodiscard]] bool has(SecondaryControl control) {
        return SecondaryControls::from_raw(
                   static_cast<u32>(processor.at(VmcsField::secondary_processor_based_controls)))
            .has(control);
    }

    FakeProcessor processor;
    FakeDevices devices;
    FakeWatcher watcher;
    Config config = default_config();
    std::optional<Vm> vm;
    std::optional<Vcpu> vcpu;
};

}  // namespace postern::hv::test
