// SPDX-License-Identifier: Apache-2.0
// CPUID, MSRs, control registers and the state after reset.
#include <gtest/gtest.h>

#include <string>

#include "cpu/cpuid.h"
#include "cpu/exec/system.h"
#include "cpu/flags.h"
#include "cpu/msr.h"
#include "cpu/reset.h"
#include "unit/cpu/event/machine.h"

namespace postern::cpu {
namespace {

const Insn none = register_insn(0, 0);

TEST(Cpuid, VendorIsGenuineIntel) {
    Machine m;
    const CpuidResult r = cpuid(m.c, 0, 0);
    EXPECT_EQ(r, (CpuidResult{0x16, 0x756e'6547, 0x6c65'746e, 0x4965'6e69}));
}

TEST(Cpuid, SignatureIsIceLakeSp) {
    Machine m;
    EXPECT_EQ(cpuid(m.c, 1, 0).eax, 0x606a6u);  // family 6, model 6AH
}

TEST(Cpuid, OsxsaveFollowsCr4) {
    Machine m;
    EXPECT_EQ(cpuid(m.c, 1, 0).ecx & 1u << 27, 0u);
    m.c.cr4.set(Cr4::osxsave);
    EXPECT_EQ(cpuid(m.c, 1, 0).ecx & 1u << 27, 1u << 27);
}

// SDM 3A, "Enabling or Disabling the Local APIC".
TEST(Cpuid, AnApicThatIsOffIsNone) {
    Machine m;
    m.c.msr.apic_base = 0xfee0'0900;
    EXPECT_EQ(cpuid(m.c, 1, 0).edx >> 9 & 1, 1u);
    m.c.msr.apic_base = 0xfee0'0100;
    EXPECT_EQ(cpuid(m.c, 1, 0).edx >> 9 & 1, 0u);
}

TEST(Cpuid, ReportsVmxSgxAndLaunchControl) {
    Machine m;
    EXPECT_NE(cpuid(m.c, 1, 0).ecx & 1u << 5, 0u);
    EXPECT_NE(cpuid(m.c, 7, 0).ebx & 1u << 2, 0u);
    EXPECT_NE(cpuid(m.c, 7, 0).ecx & 1u << 30, 0u);
    EXPECT_EQ(cpuid(m.c, 7, 1), CpuidResult{});
}

TEST(Cpuid, TimeIsOneGigahertzFromA25MegahertzCrystal) {
    Machine m;
    EXPECT_EQ(cpuid(m.c, 0x15, 0), (CpuidResult{1, 40, 25'000'000, 0}));
    EXPECT_EQ(cpuid(m.c, 0x16, 0).eax, 1000u);
}

TEST(Cpuid, EpcSectionIsWhereTheMachineHasIt) {
    Machine m;
    m.system.memory.epc_base = 0x1'4000'0000;
    m.system.memory.epc_size = 0x400'0000;
    EXPECT_EQ(cpuid(m.c, 0x12, 2), (CpuidResult{0x4000'0001, 1, 0x0400'0001, 0}));
    EXPECT_EQ(cpuid(m.c, 0x12, 3), CpuidResult{});
    EXPECT_EQ(cpuid(m.c, 0x12, 0).eax & 1, 1u);
    EXPECT_EQ(cpuid(m.c, 0x12, 1).ecx & 3, 3u);
}

// SGX1, SGX2 and EDECCSSA; neither ENCLV, the ENCLS leaves for oversubscription, EVERIFYREPORT2
// nor EUPDATESVN. Enclaves of up to 2^56 bytes, 2^31 outside 64-bit mode; EXINFO.
TEST(Cpuid, EveryModelOffersSgx2AndEdeccssaAndNoneTheRestOfLeaf12) {
    for (const Model& model : all_models()) {
        Machine m;
        m.model = model;
        EXPECT_EQ(cpuid(m.c, 0x12, 0), (CpuidResult{0x803, 1, 0, 0x381f})) << model.name;
    }
}

TEST(Cpuid, WithoutSgxLeaf12IsEmpty) {
    Machine m;
    m.model.features.set(Feature::sgx, false);
    for (u32 subleaf = 0; subleaf < 3; ++subleaf)
        EXPECT_EQ(cpuid(m.c, 0x12, subleaf), CpuidResult{});
}

TEST(Cpuid, LeavesAboveTheHighestAnswerAsTheHighestDoes) {
    Machine m;
    EXPECT_EQ(cpuid(m.c, 0x17, 0), cpuid(m.c, 0x16, 0));
    EXPECT_EQ(cpuid(m.c, 0x8000'0009, 0), cpuid(m.c, 0x16, 0));
    EXPECT_EQ(cpuid(m.c, 0x4000'0000, 0), cpuid(m.c, 0x16, 0));
}

TEST(Cpuid, AddressSizesAreTheMachines) {
    Machine m;
    m.system.physical_bits = 39;
    EXPECT_EQ(cpuid(m.c, 0x8000'0008, 0).eax, 0x3027u);
}

TEST(Cpuid, InstructionClearsTheUpperHalves) {
    Machine m;
    for (const Gpr r : {rax, rbx, rcx, rdx}) m.c.gpr[r] = ~u64{0} << 32;
    EXPECT_TRUE(execute(m.c, exec_cpuid, none));
    EXPECT_EQ(m.c.gpr[rax], 0x16u);
    EXPECT_EQ(m.c.gpr[rbx], 0x756e'6547u);
}

TEST(Model, FindsFeaturesAndModelsByName) {
    Feature f{};
    EXPECT_TRUE(find_feature("smap", f));
    EXPECT_EQ(f, Feature::smap);
    EXPECT_FALSE(find_feature("nonsense", f));
    ASSERT_NE(find_model("postern-v3"), nullptr);
    EXPECT_EQ(find_model("postern-v9"), nullptr);
}

TEST(Model, SaysWhichFeaturesAreNotBuilt) {
    for (const Feature built :
         {Feature::sgx2, Feature::sgx_edeccssa, Feature::gfni, Feature::hypervisor})
        EXPECT_TRUE(is_built(built)) << name_of(built);
    for (const Feature missing : {Feature::sgx_enclv, Feature::sgx_oversub,
                                  Feature::sgx_everifyreport2, Feature::sgx_eupdatesvn})
        EXPECT_FALSE(is_built(missing)) << name_of(missing);
}

// MSRs.

bool faults(const Result<>& r, const Cpu& c) {
    return !r.ok() && c.pending.vector == Vector::general_protection && c.pending.error_code == 0;
}

TEST(Msr, UnknownIsGeneralProtection) {
    Machine m;
    EXPECT_FALSE(read_msr(m.c, 0x12345).ok());
    EXPECT_TRUE(faults(write_msr(m.c, 0x12345, 0), m.c));
}

TEST(Msr, OfAMissingFeatureIsGeneralProtection) {
    Machine m;
    m.model.features.set(Feature::rdtscp, false);
    EXPECT_FALSE(read_msr(m.c, 0xc000'0103).ok());
}

TEST(Msr, ReadOnlyAndReservedBitsAreGeneralProtection) {
    Machine m;
    EXPECT_TRUE(faults(write_msr(m.c, 0xfe, 0), m.c));                       // MTRRCAP
    EXPECT_TRUE(faults(write_msr(m.c, 0xc000'0103, u64{1} << 32), m.c));     // TSC_AUX
    EXPECT_TRUE(faults(write_msr(m.c, 0xc000'0082, u64{1} << 47), m.c));     // LSTAR
    EXPECT_TRUE(faults(write_msr(m.c, 0xc000'0080, 0xd01 | 1u << 2), m.c));  // EFER
    EXPECT_TRUE(faults(write_msr(m.c, 0x277, 0x02), m.c));                   // PAT: type 2
    EXPECT_TRUE(faults(write_msr(m.c, 0x2ff, 0x02), m.c));
}

TEST(Msr, FeatureControlIsLocked) {
    Machine m;
    reset_registers(m.c);
    EXPECT_EQ(read_msr(m.c, 0x3a).value(), 0x6'0005u);  // lock, VMX, LC, SGX
    EXPECT_TRUE(faults(write_msr(m.c, 0x3a, 0x6'0005), m.c));
}

TEST(Msr, LaunchKeyHashIsIntelsAndWritableWithLaunchControl) {
    Machine m;
    reset_registers(m.c);
    EXPECT_EQ(read_msr(m.c, 0x8c).value(), 0xa605'3e05'1270'b7acu);
    EXPECT_EQ(read_msr(m.c, 0x8f).value(), 0xd4f8'c059'09f9'bb3bu);
    EXPECT_TRUE(write_msr(m.c, 0x8f, 77).ok());
    EXPECT_EQ(read_msr(m.c, 0x8f).value(), 77u);
    m.c.msr.feature_control = 0x4'0005;
    EXPECT_TRUE(faults(write_msr(m.c, 0x8f, 78), m.c));
    EXPECT_EQ(read_msr(m.c, 0x8f).value(), 77u);
}

TEST(Msr, LmeCannotChangeUnderPaging) {
    Machine m;
    EXPECT_TRUE(faults(write_msr(m.c, 0xc000'0080, 0x801), m.c));
    EXPECT_TRUE(write_msr(m.c, 0xc000'0080, 0x100).ok());  // SCE and NXE off; LMA stays
    EXPECT_EQ(m.c.efer.to_raw(), 0x500u);
}

TEST(Msr, BasesReachTheHandlersRows) {
    Machine m;
    EXPECT_TRUE(write_msr(m.c, 0xc000'0100, 0x1234'5678).ok());
    EXPECT_EQ(m.c.gpr[row_fs_base], 0x1234'5678u);
    EXPECT_EQ(m.c.segment[fs].base, 0x1234'5678u);
}

TEST(Msr, WritingTheTimeStampMovesTscAdjust) {
    Machine m;
    m.c.budget = 0;  // time 1,000,000
    EXPECT_TRUE(write_msr(m.c, 0x10, 5'000'000).ok());
    EXPECT_EQ(read_msr(m.c, 0x3b).value(), 4'000'000u);
    EXPECT_TRUE(execute(m.c, exec_rdtsc, none));
    EXPECT_EQ(m.c.gpr[rax], 5'000'000u);
    m.as_guest();
    m.c.vmx.tsc_offset = u64{0} - 4'999'000;
    EXPECT_TRUE(execute(m.c, exec_rdtsc, none));
    EXPECT_EQ(m.c.gpr[rax], 1000u);
    EXPECT_EQ(m.c.gpr[rdx], 0u);
}

TEST(Msr, X2apicNeedsItsMode) {
    Machine m;
    m.c.msr.apic_base = 0xfee0'0800;
    EXPECT_FALSE(read_msr(m.c, 0x802).ok());
    EXPECT_TRUE(write_msr(m.c, 0x1b, 0xfee0'0c00).ok());
    EXPECT_EQ(read_msr(m.c, 0x802).value(), 5u);
    EXPECT_FALSE(read_msr(m.c, 0x8ff).ok());
    EXPECT_TRUE(faults(write_msr(m.c, 0x1b, 0xfee0'0800), m.c));  // back to xAPIC
    EXPECT_TRUE(write_msr(m.c, 0x1b, 0xfee0'0000).ok());
    EXPECT_TRUE(faults(write_msr(m.c, 0x1b, 0xfee0'0c00), m.c));  // from off to x2APIC
}

// SDM 3A, "Relocating the Local APIC Registers".
TEST(Msr, TheLocalApicMovesToWhereNoMemoryIs) {
    Machine m;
    m.c.msr.apic_base = 0xfee0'0800;
    EXPECT_FALSE(write_msr(m.c, 0x1b, 0x5000'0800).ok());
    EXPECT_EQ(m.c.pending.kind, PendingKind::unimplemented);
    m.controller.movable = true;
    EXPECT_TRUE(write_msr(m.c, 0x1b, 0x5000'0800).ok());
    EXPECT_EQ(m.c.msr.apic_base, 0x5000'0800u);
    EXPECT_FALSE(write_msr(m.c, 0x1b, 0x10'0800).ok());
    EXPECT_EQ(m.c.pending.kind, PendingKind::unimplemented);
}

TEST(Msr, TscDeadlineIsTheControllers) {
    Machine m;
    EXPECT_TRUE(write_msr(m.c, 0x6e0, 123).ok());
    EXPECT_EQ(m.controller.deadline, 123u);
    m.c.interrupts = nullptr;
    EXPECT_FALSE(read_msr(m.c, 0x6e0).ok());
}

TEST(Msr, MtrrsKeepWhatIsLegal) {
    Machine m;
    EXPECT_TRUE(write_msr(m.c, 0x200, 0xc000'0006).ok());
    EXPECT_TRUE(write_msr(m.c, 0x213, 0x3f'c000'0800).ok());
    EXPECT_EQ(read_msr(m.c, 0x213).value(), 0x3f'c000'0800u);
    EXPECT_TRUE(faults(write_msr(m.c, 0x200, 0xc000'0007), m.c));
    EXPECT_TRUE(faults(write_msr(m.c, 0x201, u64{1} << 46), m.c));
    EXPECT_TRUE(write_msr(m.c, 0x26f, 0x0606'0606'0606'0606).ok());
    EXPECT_TRUE(faults(write_msr(m.c, 0x250, 2), m.c));
    EXPECT_EQ(read_msr(m.c, 0x250).value(), 0u);
}

TEST(Rdmsr, VmxCapabilitiesAreTheModelsOfThisMachine) {
    Machine m;
    m.model.features.set(Feature::smap, false);
    m.c.gpr[rcx] = 0x489;  // IA32_VMX_CR4_FIXED1
    EXPECT_TRUE(execute(m.c, exec_rdmsr, none));
    EXPECT_EQ(m.c.gpr[rax] >> 21 & 1, 0u);
    EXPECT_EQ(m.c.gpr[rax] >> 20 & 1, 1u);
}

TEST(Rdmsr, SplitsTheValue) {
    Machine m;
    m.c.msr.star = 0x1122'3344'5566'7788;
    m.c.gpr[rcx] = 0xffff'ffff'c000'0081;  // ECX counts
    EXPECT_TRUE(execute(m.c, exec_rdmsr, none));
    EXPECT_EQ(m.c.gpr[rdx], 0x1122'3344u);
    EXPECT_EQ(m.c.gpr[rax], 0x5566'7788u);
    m.c.gpr[rax] = 0xffff'ffff'0000'0001;
    EXPECT_TRUE(execute(m.c, exec_wrmsr, none));
    EXPECT_EQ(m.c.msr.star, 0x1122'3344'0000'0001u);
}

// Control registers.

TEST(Cr0, GuestSeesTheShadowOfMaskedBitsAndCannotChangeThem) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::cr0_guest_host_mask, 0x2a);  // NE, TS, MP
    m.set(VmcsField::cr0_read_shadow, 0x0a);
    EXPECT_TRUE(execute(m.c, exec_mov_from_cr, register_insn(rax, 0)));
    EXPECT_EQ(m.c.gpr[rax], 0x8001'001bu);
    m.c.gpr[rbx] = 0x8004'001b;  // WP off, AM on, the masked bits as shown
    EXPECT_TRUE(execute(m.c, exec_mov_to_cr, register_insn(0, rbx)));
    EXPECT_EQ(m.c.cr0.to_raw(), 0x8004'0033u);
    EXPECT_TRUE(execute(m.c, exec_smsw, register_insn(rcx, 0, 2)));
    EXPECT_EQ(m.c.gpr[rcx], 0x1bu);
}

TEST(Cr0, LmswSetsTheLowBitsAndClearsAllButPe) {
    Machine m;
    m.c.gpr[rax] = 0xfff8;
    EXPECT_TRUE(execute(m.c, exec_lmsw, register_insn(0, rax)));
    EXPECT_EQ(m.c.cr0.to_raw(), 0x8001'0039u);
}

// SDM 3A, "Initializing IA-32e Mode": the consistency checks.
TEST(Cr0, Ia32eModeIsNotActivatedWithATssOf16Bits) {
    Machine m;
    reset_registers(m.c);
    m.c.cr0 = Cr0Word{Cr0::pe, Cr0::et, Cr0::ne};
    m.c.cr4 = Cr4Word{Cr4::pae};
    m.c.efer = EferWord{Efer::lme};
    m.c.gpr[rbx] = 0x8000'0031;
    m.c.segment[tr].access_rights = 0x83;
    EXPECT_FALSE(execute(m.c, exec_mov_to_cr, register_insn(0, rbx)));
    EXPECT_FALSE(m.c.efer.has(Efer::lma));
    m.c.segment[tr].access_rights = 0x8b;
    EXPECT_TRUE(execute(m.c, exec_mov_to_cr, register_insn(0, rbx)));
    EXPECT_TRUE(m.c.efer.has(Efer::lma));
}

TEST(Cr3, Bit63IsNotStored) {
    Machine m;
    m.c.cr4.set(Cr4::pcide);
    m.c.gpr[rbx] = u64{1} << 63 | pml4_at | 5;
    EXPECT_TRUE(execute(m.c, exec_mov_to_cr, register_insn(3, rbx)));
    EXPECT_EQ(m.c.cr3, pml4_at | 5);
    m.c.cr4.set(Cr4::pcide, false);
    EXPECT_FALSE(execute(m.c, exec_mov_to_cr, register_insn(3, rbx)));
}

TEST(Cr3, LoadForgetsTranslations) {
    Machine m;
    const u64 before = m.c.tlb_generation;
    m.c.gpr[rbx] = pml4_at;
    EXPECT_TRUE(execute(m.c, exec_mov_to_cr, register_insn(3, rbx)));
    EXPECT_GT(m.c.tlb_generation, before);
}

TEST(Cr8, IsTheControllersTaskPriority) {
    Machine m;
    m.c.gpr[rbx] = 9;
    EXPECT_TRUE(execute(m.c, exec_mov_to_cr, register_insn(8, rbx)));
    EXPECT_EQ(m.controller.cr8, 9);
    EXPECT_TRUE(execute(m.c, exec_mov_from_cr, register_insn(rax, 8)));
    EXPECT_EQ(m.c.gpr[rax], 9u);
}

TEST(DebugRegisters, ReservedBitsReadAsTheManualSays) {
    Machine m;
    m.c.gpr[rbx] = 0xffff'ffff;
    EXPECT_TRUE(execute(m.c, exec_mov_to_dr, register_insn(6, rbx)));
    EXPECT_EQ(m.c.dr6, 0xffff'effFu);
    EXPECT_TRUE(execute(m.c, exec_mov_to_dr, register_insn(5, rbx)));  // DR7 without DE
    EXPECT_EQ(m.c.dr7, 0xffff'27ffu);
    m.c.dr7 = 0x400;
    m.c.gpr[rbx] = 0x1'2345'6789;
    EXPECT_TRUE(execute(m.c, exec_mov_to_dr, register_insn(2, rbx)));
    EXPECT_EQ(m.c.dr[2], 0x1'2345'6789u);
}

TEST(Xsetbv, TakesLegalCombinationsOnly) {
    Machine m;
    m.model.features.set(Feature::xsave);
    m.model.features.set(Feature::avx);
    m.c.cr4.set(Cr4::osxsave);
    m.c.gpr[rax] = 7;
    EXPECT_TRUE(execute(m.c, exec_xsetbv, none));
    EXPECT_EQ(m.c.xcr0, 7u);
    m.c.gpr[rax] = 5;  // AVX without SSE
    EXPECT_FALSE(execute(m.c, exec_xsetbv, none));
    m.c.gpr[rax] = 3;
    m.c.gpr[rdx] = 1;
    EXPECT_FALSE(execute(m.c, exec_xsetbv, none));
    EXPECT_EQ(m.c.xcr0, 7u);
}

TEST(Random, IsAFunctionOfTimeAndSetsCarryAlone) {
    Machine m, same;
    set_rflags(m.c, 0x2 | 0x8d4);
    EXPECT_TRUE(execute(m.c, exec_rdrand, register_insn(rax, 0)));
    EXPECT_TRUE(execute(same.c, exec_rdrand, register_insn(rax, 0)));
    EXPECT_EQ(m.c.gpr[rax], same.c.gpr[rax]);
    EXPECT_EQ(rflags(m.c), 3u);
    const u64 first = m.c.gpr[rax];
    m.c.budget -= 1;
    EXPECT_TRUE(execute(m.c, exec_rdrand, register_insn(rax, 0)));
    EXPECT_NE(m.c.gpr[rax], first);
    m.c.gpr[rbx] = 0x1111'2222'3333'4444;
    EXPECT_TRUE(execute(m.c, exec_rdseed, register_insn(rbx, 0, 2)));
    EXPECT_EQ(m.c.gpr[rbx] >> 16, 0x1111'2222'3333u);
}

// SDM 3A, "Processor State After Reset".
TEST(Reset, LoadsTheManualsValues) {
    Machine m;
    reset_registers(m.c);
    EXPECT_EQ(m.c.rip, 0xfff0u);
    EXPECT_EQ(rflags(m.c), 2u);
    EXPECT_EQ(m.c.cr0.to_raw(), 0x6000'0010u);
    EXPECT_EQ(m.c.gpr[rdx], 0x606a6u);
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_EQ(m.c.segment[cs].selector, 0xf000u);
    EXPECT_EQ(m.c.segment[cs].base, 0xffff'0000u);
    EXPECT_EQ(m.c.segment[cs].limit, 0xffffu);
    EXPECT_EQ(m.c.segment[ds].access_rights, 0x93u);
    EXPECT_EQ(m.c.segment[tr].access_rights, 0x8bu) << "none of 16 bits: see IA-32e mode";
    EXPECT_EQ(m.c.idtr.limit, 0xffffu);
    EXPECT_EQ(m.c.dr6, 0xffff'0ff0u);
    EXPECT_EQ(m.c.dr7, 0x400u);
    EXPECT_EQ(m.c.xcr0, 1u);
    EXPECT_EQ(m.c.vector.mxcsr, 0x1f80u);
    EXPECT_EQ(m.c.vector.x87.fcw, 0x40u);
    EXPECT_EQ(m.c.msr.pat, 0x0007'0406'0007'0406u);
    EXPECT_EQ(m.c.msr.apic_base, 0xfee0'0900u);
    EXPECT_EQ(read_tsc(m.c), 0u);
    EXPECT_EQ(m.c.vmx.current, no_vmcs);
    EXPECT_EQ(m.c.event.activity, ActivityState::active);
}

TEST(Reset, OtherProcessorsWaitForSipi) {
    Machine m;
    m.c.number = 1;
    reset_registers(m.c);
    EXPECT_EQ(m.c.msr.apic_base, 0xfee0'0800u);
    EXPECT_EQ(m.c.event.activity, ActivityState::wait_for_sipi);
}

}  // namespace
}  // namespace postern::cpu
