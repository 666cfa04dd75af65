// SPDX-License-Identifier: Apache-2.0
// Control registers: what the processor refuses, what a guest sees, and what an exit carries out.
#include "hv/control_registers.h"

#include "arch/vmx/controls.h"
#include "arch/vmx/exit_qualification.h"
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

// SDM 2B, "MOV—Move to/from Control Registers".
constexpr ControlRegisters registers_in(u64 cr0, u64 cr4, u64 efer) {
    return {Cr0Word::from_raw(cr0),
            Cr4Word::from_raw(cr4),
            0x1000,
            EferWord::from_raw(efer),
            false,
            false};
}
constexpr ControlRegisters real_mode = registers_in(0x10, 0, 0);
constexpr ControlRegisters protected_mode = registers_in(0x31, 0, 0);
constexpr ControlRegisters about_to_be_ia32e = registers_in(0x31, 0x20, 0x100);
constexpr ControlRegisters compatibility_mode = registers_in(0x8000'0031, 0x20, 0x500);
constexpr ControlRegisters long_mode = [] {
    ControlRegisters now = compatibility_mode;
    now.long_code = true;
    return now;
}();

static_assert(is_legal_cr0(real_mode, 0x11));
static_assert(!is_legal_cr0(real_mode, u64{1} << 32), "bits 63:32");
static_assert(!is_legal_cr0(real_mode, 0x8000'0010), "PG without PE");
static_assert(!is_legal_cr0(real_mode, 0x2000'0010), "NW without CD");
static_assert(is_legal_cr0(real_mode, 0x6000'0010));
static_assert(is_legal_cr0(protected_mode, 0x8000'0031), "paging of 32 bits");
static_assert(is_legal_cr0(about_to_be_ia32e, 0x8000'0031));
static_assert(!is_legal_cr0(registers_in(0x31, 0, 0x100), 0x8000'0031), "LME without PAE");
static_assert(!is_legal_cr0(
                  [] {
                      ControlRegisters now = about_to_be_ia32e;
                      now.long_code = true;
                      return now;
                  }(),
                  0x8000'0031),
              "CS.L");
static_assert(!is_legal_cr0(
                  [] {
                      ControlRegisters now = about_to_be_ia32e;
                      now.tss_16 = true;
                      return now;
                  }(),
                  0x8000'0031),
              "a TSS of 16 bits");
static_assert(is_legal_cr0(compatibility_mode, 0x31), "leaves IA-32e mode");
static_assert(!is_legal_cr0(long_mode, 0x31), "not from 64-bit mode");
static_assert(!is_legal_cr0(registers_in(0x8000'0031, 0x2'0020, 0x500), 0x31), "with PCIDs on");

constexpr u64 every_bit = 0x0077'1fff;
static_assert(is_legal_cr4(protected_mode, 0x20, every_bit));
static_assert(!is_legal_cr4(protected_mode, 0x2000, every_bit), "VMXE is hidden");
static_assert(is_legal_cr4(protected_mode, 0x2000, every_bit | 0x2000), "VMXE is offered");
static_assert(!is_legal_cr4(protected_mode, 0x4000, ~u64{0}), "SMXE is hidden");
static_assert(!is_legal_cr4(protected_mode, 0x80'0000, every_bit), "a bit it does not have");
static_assert(!is_legal_cr4(long_mode, 0, every_bit), "PAE stays in IA-32e mode");
static_assert(!is_legal_cr4(long_mode, 0x1020, every_bit), "LA57 does not change there");
static_assert(is_legal_cr4(protected_mode, 0x1000, every_bit));
static_assert(is_legal_cr4(long_mode, 0x2'0020, every_bit), "PCIDE");
static_assert(!is_legal_cr4(protected_mode, 0x2'0020, every_bit), "PCIDE outside IA-32e mode");
static_assert(!is_legal_cr4(
                  [] {
                      ControlRegisters now = long_mode;
                      now.cr3 = 0x1001;
                      return now;
                  }(),
                  0x2'0020, every_bit),
              "PCIDE with a PCID in CR3");

Next move_to(Machine& machine, unsigned number, u64 value) {
    const CrAccess access = CrAccess::mov_to(number, rax);
    return machine.normal_exit(BasicReason::control_register_access,
                               {.qualification = access.to_raw(), .length = 3, .rax = value});
}
bool went_on(Machine& machine) { return machine.processor.at(VmcsField::guest_rip) != kernel_rip; }

void put_in_protected_mode(Machine& machine) {
    machine.processor.at(VmcsField::guest_cr0) = 0x31;
    machine.processor.at(VmcsField::cr0_read_shadow) = 0x31;
    machine.processor.at(VmcsField::guest_ia32_efer) = 0;
    machine.processor.at(VmcsField::vm_entry_controls) &= ~u64{1 << 9};
    machine.processor.at(VmcsField::guest_cs_access_rights) = 0xc09b;
}
bool is_ia32e(Machine& machine) {
    return EntryControls::from_raw(
               static_cast<u32>(machine.processor.at(VmcsField::vm_entry_controls)))
        .has(EntryControl::ia32e_mode_guest);
}

TEST(ControlRegisters, NeCdAndNwAreTheGuestsToSeeAndOursToHold) {
    Machine machine;
    EXPECT_EQ(machine.processor.at(VmcsField::cr0_guest_host_mask), 0x6000'0020u);
    EXPECT_EQ(machine.processor.at(VmcsField::cr4_guest_host_mask), 0x6000u);
    EXPECT_EQ(move_to(machine, 0, 0xe000'0011), Next::resume);
    EXPECT_TRUE(went_on(machine));
    EXPECT_EQ(machine.processor.at(VmcsField::guest_cr0), 0x8000'0031u);
    EXPECT_EQ(machine.processor.at(VmcsField::cr0_read_shadow), 0xe000'0011u);
}

TEST(ControlRegisters, AnIllegalValueIsGpAndChangesNothing) {
    Machine machine;
    const u64 before = machine.processor.at(VmcsField::guest_cr0);
    for (const auto& [number, value] :
         {std::pair{0u, u64{0x31}}, {0u, u64{1} << 40}, {4u, u64{0x2020}}, {4u, u64{0}}}) {
        move_to(machine, number, value);
        EXPECT_FALSE(went_on(machine)) << number;
        EXPECT_EQ(machine.processor.at(VmcsField::guest_cr0), before);
        expect_exception(machine.injected(), Vector::general_protection);
    }
}

TEST(ControlRegisters, PagingWithLmeActivatesIa32eModeAndTheEntryFollows) {
    Machine machine;
    put_in_protected_mode(machine);
    machine.processor.at(VmcsField::guest_ia32_efer) = 0x100;
    machine.processor.at(VmcsField::guest_cr4) = 0x2020;
    move_to(machine, 0, 0xc000'0031);
    EXPECT_TRUE(went_on(machine));
    EXPECT_EQ(machine.processor.at(VmcsField::guest_ia32_efer), 0x500u);
    EXPECT_TRUE(is_ia32e(machine));
    // And back, from compatibility mode.
    move_to(machine, 0, 0x31);
    EXPECT_EQ(machine.processor.at(VmcsField::guest_ia32_efer), 0x100u);
    EXPECT_FALSE(is_ia32e(machine));
}

TEST(ControlRegisters, PaePagingLoadsThePdptes) {
    Machine machine;
    put_in_protected_mode(machine);
    machine.processor.at(VmcsField::guest_cr3) = 0x8020;
    machine.processor.at(VmcsField::guest_cr4) = 0x2020;
    for (u64 i = 0; i < 4; ++i) machine.write64(0x8020 + 8 * i, (i + 1) << 12 | 1);
    move_to(machine, 0, 0xc000'0031);
    EXPECT_TRUE(went_on(machine));
    EXPECT_EQ(machine.processor.at(VmcsField::guest_pdpte0), 0x1001u);
    EXPECT_EQ(machine.processor.at(VmcsField::guest_pdpte3), 0x4001u);
    EXPECT_FALSE(is_ia32e(machine));
}

TEST(ControlRegisters, APresentPdpteWithAReservedBitIsGp) {
    Machine machine;
    put_in_protected_mode(machine);
    machine.processor.at(VmcsField::guest_cr3) = 0x8020;
    machine.processor.at(VmcsField::guest_cr4) = 0x2020;
    machine.write64(0x8028, 0x2003);
    move_to(machine, 0, 0xc000'0031);
    EXPECT_FALSE(went_on(machine));
    EXPECT_EQ(machine.processor.at(VmcsField::guest_cr0), 0x31u);
    expect_exception(machine.injected(), Vector::general_protection);
}

TEST(ControlRegisters, Outside64BitModeOnly32BitsOfTheRegisterCount) {
    Machine machine;
    put_in_protected_mode(machine);
    move_to(machine, 0, 0xffff'ffff'4000'0031);
    EXPECT_TRUE(went_on(machine));
    EXPECT_EQ(machine.processor.at(VmcsField::cr0_read_shadow), 0x4000'0031u);
}

TEST(ControlRegisters, Cr3WithBit63KeepsTranslationsOnlyWithPcids) {
    Machine machine;
    move_to(machine, 3, u64{1} << 63 | 0x2000);
    EXPECT_FALSE(went_on(machine));
    expect_exception(machine.injected(), Vector::general_protection);
    machine.processor.at(VmcsField::guest_cr4) |= 0x2'0000;
    move_to(machine, 3, u64{1} << 63 | 0x2001);
    EXPECT_TRUE(went_on(machine));
    EXPECT_EQ(machine.processor.at(VmcsField::guest_cr3), 0x2001u);
    move_to(machine, 3, u64{1} << 46);
    EXPECT_FALSE(went_on(machine));
    expect_exception(machine.injected(), Vector::general_protection);
}

TEST(ControlRegisters, Cr3IsRead) {
    Machine machine;
    machine.processor.at(VmcsField::guest_cr3) = 0x1234'5678'9000;
    machine.normal_exit(BasicReason::control_register_access,
                        {.qualification = CrAccess::mov_from(3, rbx).to_raw(), .length = 3});
    EXPECT_EQ(machine.vcpu.registers().gpr[rbx], 0x1234'5678'9000u);
}

// SDM 2A, "CLTS" and "LMSW".
TEST(ControlRegisters, ClsAndLmswChangeTheLowBitsOnly) {
    Machine machine;
    machine.processor.at(VmcsField::guest_cr0) |= 0x8;
    machine.normal_exit(BasicReason::control_register_access,
                        {.qualification = CrAccess::clts().to_raw(), .length = 2});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_cr0), 0x8000'0031u);
    machine.normal_exit(BasicReason::control_register_access,
                        {.qualification = CrAccess::lmsw(0xfffe, false).to_raw(), .length = 3});
    EXPECT_TRUE(went_on(machine));
    EXPECT_EQ(machine.processor.at(VmcsField::guest_cr0), 0x8000'003fu) << "PE is not cleared";
}

TEST(ControlRegisters, AtCpl3NothingIsCarriedOut) {
    Machine machine;
    machine.normal_exit(
        BasicReason::control_register_access,
        {.qualification = CrAccess::mov_to(0, rax).to_raw(), .length = 3, .cpl = 3, .rax = 0});
    EXPECT_FALSE(went_on(machine));
    expect_exception(machine.injected(), Vector::general_protection);
}

}  // namespace
}  // namespace postern::hv::test
