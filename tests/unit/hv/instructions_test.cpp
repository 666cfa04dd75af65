// SPDX-License-Identifier: Apache-2.0
// Exits outside enclaves: CPUID, MSRs, port I/O, control and debug registers, HLT, MMIO, memory.
#include "arch/regs/cr4.h"
#include "arch/vmx/exit_qualification.h"
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

using Kind = DecodedAccess::Kind;

u64 rip(Machine& machine) { return machine.processor.at(VmcsField::guest_rip); }

TEST(Cpuid, HidesVmxAndShowsTheHypervisor) {
    Machine machine;
    machine.processor.cpuid_leaves[{1, 0}] = {1, 2, 1u << 5 | 1u << 6 | 1u << 27 | 1u << 30, 4};
    machine.processor.at(VmcsField::guest_cr4) = 0x2020;
    EXPECT_EQ(machine.normal_exit(BasicReason::cpuid, {.length = 2, .rax = 1, .rcx = 0}),
              Next::resume);
    const auto& gpr = machine.vcpu.registers().gpr;
    EXPECT_EQ(gpr[rax], 1u);
    EXPECT_EQ(gpr[rbx], 2u);
    EXPECT_EQ(gpr[rcx], u64{1u << 31 | 1u << 30}) << "no VMX, SMX, OSXSAVE";
    EXPECT_EQ(gpr[rdx], 4u);
    EXPECT_EQ(rip(machine), kernel_rip + 2);
}

TEST(Cpuid, SaysWhoTheHypervisorIs) {
    Machine machine;
    machine.normal_exit(BasicReason::cpuid, {.length = 2, .rax = 0x4000'0000, .rcx = 0});
    const auto& gpr = machine.vcpu.registers().gpr;
    EXPECT_EQ(gpr[rbx], 0x7473'6f50u);  // "Post"
    EXPECT_EQ(gpr[rcx], 0x506e'7265u);  // "ernP"
    EXPECT_EQ(gpr[rdx], 0x6574'736fu);  // "oste"
}

TEST(Cpuid, GivesTheGuestItsOwnEpcSectionAndNoOther) {
    Machine machine;
    machine.processor.cpuid_leaves[{0x12, 2}] = {0x9000'0001, 9, 0x9000'0001, 9};
    machine.processor.cpuid_leaves[{0x12, 3}] = {0x9000'0001, 9, 0x9000'0001, 9};
    machine.processor.cpuid_leaves[{0x12, 0}] = {3, 1, 0, 0x241f};
    machine.vm.sgx().reset();  // what the processor has is looked at when the machine starts
    const auto& gpr = machine.vcpu.registers().gpr;
    machine.normal_exit(BasicReason::cpuid, {.length = 2, .rax = 0x12, .rcx = 2});
    EXPECT_EQ(gpr[rax], 0x1000'0001u);
    EXPECT_EQ(gpr[rbx], 0u);
    EXPECT_EQ(gpr[rcx], 0x10'0001u);
    machine.normal_exit(BasicReason::cpuid, {.length = 2, .rax = 0x12, .rcx = 3});
    EXPECT_EQ(gpr[rax], 0u);
    machine.normal_exit(BasicReason::cpuid, {.length = 2, .rax = 0x12, .rcx = 0});
    EXPECT_EQ(gpr[rdx], 0x241fu);
}

TEST(Cpuid, WithoutEpcThereIsNoSgx) {
    Config config = default_config();
    config.epc = {};
    Machine machine{config};
    machine.processor.cpuid_leaves[{7, 0}] = {0, 1u << 2 | 1, 1u << 30 | 2, 0};
    machine.processor.cpuid_leaves[{0x12, 0}] = {3, 1, 0, 0x241f};
    const auto& gpr = machine.vcpu.registers().gpr;
    machine.normal_exit(BasicReason::cpuid, {.length = 2, .rax = 7, .rcx = 0});
    EXPECT_EQ(gpr[rbx], 1u);
    EXPECT_EQ(gpr[rcx], 2u);
    machine.normal_exit(BasicReason::cpuid, {.length = 2, .rax = 0x12, .rcx = 0});
    EXPECT_EQ(gpr[rax] | gpr[rbx] | gpr[rcx] | gpr[rdx], 0u);
}

TEST(Cpuid, HidesWhatIsConfigured) {
    Config config = default_config();
    config.hidden = {HiddenFeature::rdrand, HiddenFeature::rdseed};
    Machine machine{config};
    machine.processor.cpuid_leaves[{1, 0}] = {0, 0, 1u << 30, 0};
    machine.processor.cpuid_leaves[{7, 0}] = {0, 1u << 18, 0, 0};
    const auto& gpr = machine.vcpu.registers().gpr;
    machine.normal_exit(BasicReason::cpuid, {.length = 2, .rax = 1, .rcx = 0});
    EXPECT_EQ(gpr[rcx] >> 30 & 1, 0u);
    machine.normal_exit(BasicReason::cpuid, {.length = 2, .rax = 7, .rcx = 0});
    EXPECT_EQ(gpr[rbx], 0u);
}

TEST(Msrs, FeatureControlIsLockedWithSgxAndLaunchControl) {
    Machine machine;
    machine.normal_exit(BasicReason::rdmsr, {.length = 2, .rcx = 0x3a});
    EXPECT_EQ(machine.vcpu.registers().gpr[rax], 0x6'0001u);
    machine.normal_exit(BasicReason::wrmsr, {.length = 2, .rax = 0, .rcx = 0x3a});
    expect_exception(machine.injected(), Vector::general_protection, 0);
}

TEST(Msrs, TheLaunchKeyHashIsTheGuestsOwn) {
    Machine machine;
    machine.processor.msrs[0x8e] = 0x77;
    machine.vcpu.registers().gpr[rdx] = 0x1234;
    machine.normal_exit(BasicReason::wrmsr, {.length = 2, .rax = 0x5678, .rcx = 0x8e});
    EXPECT_EQ(machine.processor.msrs[0x8e], 0x77u) << "the processor's follows when EINIT runs";
    machine.normal_exit(BasicReason::rdmsr, {.length = 2, .rax = 0, .rcx = 0x8e});
    EXPECT_EQ(machine.vcpu.registers().gpr[rax], 0x5678u);
    EXPECT_EQ(machine.vcpu.registers().gpr[rdx], 0x1234u);
    EXPECT_EQ(rip(machine), kernel_rip + 2);
}

TEST(Msrs, AnUnknownOneGivesGp) {
    for (const u64 msr : {u64{0x480}, u64{0x1234'5678}}) {
        Machine machine;
        machine.normal_exit(BasicReason::rdmsr, {.length = 2, .rcx = msr});
        EXPECT_EQ(rip(machine), kernel_rip);
        expect_exception(machine.injected(), Vector::general_protection, 0);
    }
}

TEST(Msrs, EferTakesNxeAndScButNotAChangeOfModeUnderPaging) {
    Machine machine;
    machine.normal_exit(BasicReason::wrmsr, {.length = 2, .rax = 0x901, .rcx = 0xc000'0080});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_ia32_efer), 0xd01u) << "LMA stays";
    machine.normal_exit(BasicReason::wrmsr, {.length = 2, .rax = 0, .rcx = 0xc000'0080});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_ia32_efer), 0xd01u);
    expect_exception(machine.injected(), Vector::general_protection, 0);
}

TEST(Msrs, TheBitmapLetsFsAndGsBaseThroughAndNothingElse) {
    Machine machine;
    const u8* bitmap = machine.processor.ram.data() + machine.processor.at(VmcsField::msr_bitmap);
    EXPECT_EQ(bitmap[1024 + 0x100 / 8] & 7, 0) << "reads of FS, GS and kernel GS base";
    EXPECT_EQ(bitmap[3072 + 0x100 / 8] & 7, 0) << "writes";
    EXPECT_NE(bitmap[0x3a / 8] & 1 << 0x3a % 8, 0) << "IA32_FEATURE_CONTROL exits";
    EXPECT_EQ(bitmap[0x10 / 8] & 1, 0) << "reads of the TSC";
    EXPECT_NE(bitmap[2048 + 0x10 / 8] & 1, 0) << "writes of it exit";
}

TEST(PortIo, OutWritesAndInMergesIntoRax) {
    Machine machine;
    machine.normal_exit(BasicReason::io_instruction,
                        {.qualification = u64{0xf4} << 16 | 1, .length = 1, .rax = 0x1'2345});
    ASSERT_EQ(machine.devices.port_touches.size(), 1u);
    EXPECT_EQ(machine.devices.port_touches[0].address, 0xf4u);
    EXPECT_EQ(machine.devices.port_touches[0].value, 0x2345u);
    machine.devices.read_value = 0xab;
    machine.normal_exit(
        BasicReason::io_instruction,
        {.qualification = u64{0x60} << 16 | 8, .length = 1, .rax = 0xffff'ffff'ffff'ffff});
    EXPECT_EQ(machine.vcpu.registers().gpr[rax], 0xffff'ffff'ffff'ffabu);
    machine.devices.read_value = 0x8765'4321;
    machine.normal_exit(BasicReason::io_instruction,
                        {.qualification = u64{0xcf8} << 16 | 8 | 3, .length = 1, .rax = ~u64{0}});
    EXPECT_EQ(machine.vcpu.registers().gpr[rax], 0x8765'4321u);
    EXPECT_EQ(machine.vcpu.counters().emulated_io, 3u);
}

TEST(PortIo, ASizeThatNoInstructionHasIsNotImplemented) {
    Machine machine;
    const ExitInfo info{.qualification = 7, .length = 1};
    EXPECT_EQ(machine.normal_exit(BasicReason::io_instruction, info), Next::stop);
    EXPECT_TRUE(machine.devices.port_touches.empty());
}

TEST(PortIo, AnAbsentPortReadsAsAllOnes) {
    Machine machine;
    machine.devices.answers = false;
    machine.devices.read_value = 0;
    machine.normal_exit(BasicReason::io_instruction,
                        {.qualification = u64{0x99} << 16 | 9, .length = 1, .rax = 0});
    EXPECT_EQ(machine.vcpu.registers().gpr[rax], 0xffffu);
}

TEST(ControlRegisters, TheGuestSeesItsOwnCr4WithoutVmxe) {
    Machine machine;
    EXPECT_EQ(machine.processor.at(VmcsField::guest_cr4) & 0x2000, 0x2000u);
    EXPECT_EQ(machine.processor.at(VmcsField::cr4_read_shadow) & 0x2000, 0u);
    const u64 to_cr4 = CrAccess::mov_to(4, rax).to_raw();
    machine.normal_exit(BasicReason::control_register_access,
                        {.qualification = to_cr4, .length = 3, .rax = 0x620});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_cr4), 0x2620u);
    EXPECT_EQ(machine.processor.at(VmcsField::cr4_read_shadow), 0x620u);
    machine.normal_exit(BasicReason::control_register_access,
                        {.qualification = to_cr4, .length = 3, .rax = 0x2620});
    EXPECT_EQ(rip(machine), kernel_rip);
    expect_exception(machine.injected(), Vector::general_protection, 0);
}

TEST(ControlRegisters, Cr0KeepsNeAndShowsWhatTheGuestWrote) {
    Machine machine;
    const u64 to_cr0 = CrAccess::mov_to(0, rcx).to_raw();
    machine.normal_exit(BasicReason::control_register_access,
                        {.qualification = to_cr0, .length = 3, .rcx = 0x8001'0011});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_cr0), 0x8001'0031u);
    EXPECT_EQ(machine.processor.at(VmcsField::cr0_read_shadow), 0x8001'0011u);
    machine.normal_exit(BasicReason::control_register_access,
                        {.qualification = to_cr0, .length = 3, .rcx = 0x8000'0000});
    expect_exception(machine.injected(), Vector::general_protection, 0);
}

TEST(DebugRegisters, MovDrThatExitsAtCpl0IsCarriedOut) {
    Machine machine;
    machine.normal_exit(BasicReason::mov_dr,
                        {.qualification = MovDr::to(3, rax).to_raw(), .length = 3, .rax = 0x1234});
    EXPECT_EQ(machine.processor.dr[3], 0x1234u);
    machine.normal_exit(BasicReason::mov_dr,
                        {.qualification = MovDr::from(7, rax).to_raw(), .length = 3});
    EXPECT_EQ(machine.vcpu.registers().gpr[rax], 0x400u);
    EXPECT_EQ(rip(machine), kernel_rip + 3);
}

TEST(Halt, PassesOverHltAndSaysSo) {
    Machine machine;
    EXPECT_EQ(machine.normal_exit(BasicReason::hlt, {.length = 1}), Next::halt);
    EXPECT_EQ(rip(machine), kernel_rip + 1);
}

TEST(Xsetbv, WhatTheProcessorRefusesIsGp) {
    Machine machine;
    machine.normal_exit(BasicReason::xsetbv, {.length = 3, .rax = 7, .rcx = 0});
    EXPECT_EQ(rip(machine), kernel_rip + 3);
    machine.normal_exit(BasicReason::xsetbv, {.length = 3, .rax = 6, .rcx = 0});
    EXPECT_EQ(rip(machine), kernel_rip);
    expect_exception(machine.injected(), Vector::general_protection, 0);
}

TEST(Mmio, LoadsExtendAsTheInstructionSays) {
    struct Case {
        Kind kind;
        u8 memory, reg;
        bool high;
        u64 device, before, after;
    };
    for (const Case& c :
         {Case{Kind::load, 8, 8, false, 0x1122'3344'5566'7788, 0, 0x1122'3344'5566'7788},
          Case{Kind::load, 4, 4, false, 0xdead'beef'8000'0001, ~u64{0}, 0x8000'0001},
          Case{Kind::load, 2, 2, false, 0x1234, ~u64{0}, 0xffff'ffff'ffff'1234},
          Case{Kind::load, 1, 1, false, 0x12, ~u64{0}, 0xffff'ffff'ffff'ff12},
          Case{Kind::load, 1, 1, true, 0x12, ~u64{0}, 0xffff'ffff'ffff'12ff},
          Case{Kind::load_zero_extended, 1, 4, false, 0xfff0, ~u64{0}, 0xf0},
          Case{Kind::load_sign_extended, 1, 8, false, 0x80, 0, 0xffff'ffff'ffff'ff80},
          Case{Kind::load_sign_extended, 2, 4, false, 0x8000, ~u64{0}, 0xffff'8000}}) {
        Machine machine;
        machine.devices.read_value = c.device;
        machine.processor.access = {.kind = c.kind,
                                    .length = 4,
                                    .memory_size = c.memory,
                                    .register_size = c.reg,
                                    .gpr = rax,
                                    .high_byte = c.high};
        machine.normal_exit(BasicReason::ept_misconfiguration,
                            {.gpa = doorbell + 8, .rax = c.before});
        EXPECT_EQ(machine.vcpu.registers().gpr[rax], c.after) << static_cast<int>(c.kind);
        ASSERT_EQ(machine.devices.touches.size(), 1u);
        EXPECT_EQ(machine.devices.touches[0].size, c.memory);
        EXPECT_EQ(rip(machine), kernel_rip + 4);
    }
}

TEST(Mmio, StoresWriteTheOperandAndNothingMore) {
    Machine machine;
    machine.processor.access = {.kind = Kind::store_immediate,
                                .length = 7,
                                .memory_size = 2,
                                .immediate = 0xffff'ffff'ffff'8001};
    machine.normal_exit(BasicReason::ept_violation, {.gpa = nowhere + 6, .qualification = 0x182});
    ASSERT_EQ(machine.devices.touches.size(), 1u);
    EXPECT_EQ(machine.devices.touches[0].value, 0x8001u);
    machine.processor.access = {.kind = Kind::store_register,
                                .length = 2,
                                .memory_size = 1,
                                .register_size = 1,
                                .gpr = rax,
                                .high_byte = true};
    machine.normal_exit(BasicReason::ept_misconfiguration, {.gpa = doorbell, .rax = 0xabcd});
    EXPECT_EQ(machine.devices.touches[1].value, 0xabu);
}

TEST(Mmio, TheStackPointerIsTheVmcssOwn) {
    Machine machine;
    machine.processor.at(VmcsField::guest_rsp) = 0x7788;
    machine.processor.access = {.kind = Kind::store_register,
                                .length = 3,
                                .memory_size = 8,
                                .register_size = 8,
                                .gpr = rsp};
    machine.normal_exit(BasicReason::ept_misconfiguration, {.gpa = doorbell});
    EXPECT_EQ(machine.devices.touches.at(0).value, 0x7788u);
}

TEST(Mmio, TheBytesComeThroughTheGuestsPageTablesAcrossAPage) {
    Machine machine;
    machine.write64(0x3000 + 8, 0x9007);  // linear 2 to 4 MiB by 4-KByte pages
    machine.write64(0x9000 + 8 * 0x100, 0x11'1007);
    machine.write64(0x9000 + 8 * 0x101, 0x5'5007);
    machine.write_bytes(0x11'1fff, {0x89});
    machine.write_bytes(0x5'5000, {0x07, 0xcc});
    machine.processor.access = {.kind = Kind::store_register,
                                .length = 2,
                                .memory_size = 4,
                                .register_size = 4,
                                .gpr = rax};
    machine.normal_exit(BasicReason::ept_misconfiguration, {.gpa = doorbell, .rip = 0x30'0fff});
    ASSERT_EQ(machine.processor.decoded_bytes.size(), 15u);
    EXPECT_EQ(machine.processor.decoded_bytes[0], 0x89);
    EXPECT_EQ(machine.processor.decoded_bytes[1], 0x07);
    EXPECT_EQ(machine.processor.decoded_bytes[2], 0xcc);
}

TEST(Mmio, WhatCannotBeCarriedOutStopsTheKernelAndFaultsItsPrograms) {
    Machine machine;
    machine.processor.access = {.kind = Kind::unsupported, .length = 3, .memory_size = 4};
    EXPECT_EQ(machine.normal_exit(BasicReason::ept_misconfiguration, {.gpa = doorbell, .cpl = 3}),
              Next::resume);
    expect_exception(machine.injected(), Vector::invalid_opcode);
    EXPECT_EQ(machine.normal_exit(BasicReason::ept_misconfiguration, {.gpa = doorbell}),
              Next::stop);
    EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::not_implemented);
    EXPECT_TRUE(machine.devices.touches.empty());
}

u64 read64(const Machine& machine, u64 host) {
    u64 value = 0;
    for (unsigned i = 0; i < 8; ++i) value |= u64{machine.processor.ram.at(host + i)} << 8 * i;
    return value;
}

/// The leaf of the guest's EPT, walked by hand from the pointer in the VMCS.
u64 ept_leaf(Machine& machine, u64 gpa) {
    u64 table = machine.processor.at(VmcsField::ept_pointer) & ~u64{0xfff};
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        const u64 next = read64(machine, table + 8 * (gpa >> shift & 511));
        EXPECT_EQ(next & 0xfff, 7u);
        table = next & ~u64{0xfff};
    }
    return read64(machine, table + 8 * (gpa >> 12 & 511));
}

TEST(Ept, RamIsMappedToItsHostPageWriteBack) {
    Machine machine;
    machine.normal_exit(BasicReason::ept_violation, {.gpa = Gpa{0x12345}, .qualification = 0x182});
    EXPECT_EQ(machine.processor.at(VmcsField::ept_pointer) & 0xfff, 0x1eu)
        << "write-back, four levels";
    EXPECT_EQ(ept_leaf(machine, 0x12345), guest_ram_host + 0x12000 + 0x37);
    EXPECT_EQ(machine.processor.invepts, 0u) << "nothing was cached";
}

TEST(Ept, TheDoorbellIsMarkedByAMisconfiguration) {
    Machine machine;
    EXPECT_EQ(ept_leaf(machine, doorbell.raw()) & 7, 6u) << "writable, not readable";
}

TEST(Ept, RomIsNotWritable) {
    Machine machine;
    EXPECT_EQ(
        machine.normal_exit(BasicReason::ept_violation, {.gpa = rom_base, .qualification = 0x181}),
        Next::resume);
    EXPECT_EQ(machine.record().action, Action::mapped);
    EXPECT_EQ(ept_leaf(machine, rom_base.raw()) & 7, 5u);
    machine.processor.access = {.kind = Kind::store_register,
                                .length = 3,
                                .memory_size = 4,
                                .register_size = 4,
                                .gpr = rax};
    machine.devices.answers = false;
    EXPECT_EQ(
        machine.normal_exit(BasicReason::ept_violation, {.gpa = rom_base, .qualification = 0x182}),
        Next::resume);
    EXPECT_EQ(machine.record().action, Action::emulated);
}

TEST(Ept, AnExhaustedPoolStopsTheGuestWithAReport) {
    Config config = default_config();
    // Root, APIC-access page, three tables for the doorbell, VMCS, MSR bitmap, virtual-APIC page
    // and its table, SGX's two, one more.
    config.pool.pages = 11;
    Machine machine{config};
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_violation, {.gpa = epc_base}), Next::stop);
    EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::out_of_table_pages);
}

TEST(MemoryMap, RefusesWhatOverlapsOrIsNotPageAligned) {
    MemoryMap map;
    EXPECT_TRUE(map.add(MemorySlot{Gpa{0x1000}, 0x3000, SlotKind::ram, Hpa{0}}));
    EXPECT_FALSE(map.add(MemorySlot{Gpa{0x3000}, 0x1000, SlotKind::epc, Hpa{0}}));
    EXPECT_FALSE(map.add(MmioRange{Gpa{0}, 0x2000}));
    EXPECT_FALSE(map.add(MmioRange{Gpa{0x8800}, 0x1000}));
    EXPECT_FALSE(map.add(MmioRange{Gpa{0x8000}, 0}));
    EXPECT_FALSE(map.add(MmioRange{Gpa{~u64{0xfff}}, 0x2000}));
    EXPECT_FALSE(map.add(MmioRange{Gpa{u64{1} << 48}, 0x1000}));
    EXPECT_TRUE(map.add(MmioRange{Gpa{(u64{1} << 48) - 0x1000}, 0x1000}));
    EXPECT_TRUE(map.add(MmioRange{Gpa{0x4000}, 0x1000}));
    EXPECT_EQ(map.find(Gpa{0xfff}), nullptr);
    ASSERT_NE(map.find(Gpa{0x3fff}), nullptr);
    EXPECT_EQ(map.find(Gpa{0x4000}), nullptr);
    EXPECT_TRUE(map.is_mmio(Gpa{0x4fff}));
    EXPECT_FALSE(map.is_mmio(Gpa{0x5000}));
}

TEST(Start, TheGuestStartsIn64BitModeWhereItWasTold) {
    FakeProcessor processor;
    FakeDevices devices;
    FakeWatcher watcher;
    Config config = default_config();
    config.host.rip = 0xffff'8000'0000'1000;
    Vm vm{processor, devices, watcher, config};
    Vcpu vcpu{processor, vm};
    StartState state;
    state.rip = 0x10'0000;
    state.cr3 = 0x9000;
    state.gpr[rsi] = 0x7000;
    state.gpr[rsp] = 0x8000;
    ASSERT_TRUE(vcpu.start(state));
    EXPECT_EQ(processor.at(VmcsField::guest_rip), 0x10'0000u);
    EXPECT_EQ(processor.at(VmcsField::guest_rsp), 0x8000u);
    EXPECT_EQ(vcpu.registers().gpr[rsi], 0x7000u);
    EXPECT_EQ(processor.at(VmcsField::guest_cr3), 0x9000u);
    EXPECT_EQ(processor.at(VmcsField::guest_cr0) & 0x8000'0021, 0x8000'0021u);
    EXPECT_EQ(processor.at(VmcsField::guest_ia32_efer), 0x500u);
    EXPECT_EQ(processor.at(VmcsField::guest_cs_access_rights), 0xa09bu);
    EXPECT_EQ(processor.at(VmcsField::guest_tr_access_rights), 0x8bu);
    EXPECT_EQ(processor.at(VmcsField::vmcs_link_pointer), ~u64{0});
    EXPECT_EQ(processor.at(VmcsField::host_rip), 0xffff'8000'0000'1000u);
    EXPECT_EQ(processor.at(VmcsField::vm_entry_controls) & 0x200, 0x200u);
}

}  // namespace
}  // namespace postern::hv::test
