// SPDX-License-Identifier: Apache-2.0
// What of VMX a guest is told of: the capability MSRs by bit, what each of them needs of the
// processor, and a guest that has none.
#include "hv/nested/capability.h"

#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

/// The bits of the manual's tables that hv/nested carries out, on a processor that has all.
constexpr u32 offered_pin = 0x69;
constexpr u32 offered_primary = 0xfbf9'9e8c;
constexpr u32 offered_secondary = 0x0611'9cff;
constexpr u32 offered_exit = 0x007c'8204;
constexpr u32 offered_entry = 0x0000'c204;

struct WordRow {
    const char* name;
    u32 msr;
    u32 must_be_1;
    u32 offered;
};
constexpr std::array words{
    WordRow{"pin", 0x481, 0x0000'0016, offered_pin},
    WordRow{"primary", 0x482, 0x0401'e172, offered_primary},
    WordRow{"exit", 0x483, 0x0003'6dff, offered_exit},
    WordRow{"entry", 0x484, 0x0000'11ff, offered_entry},
    WordRow{"secondary", 0x48b, 0, offered_secondary},
    WordRow{"true pin", 0x48d, 0x0000'0016, offered_pin},
    WordRow{"true primary", 0x48e, 0x0400'6172, offered_primary},
    WordRow{"true exit", 0x48f, 0x0003'6dfb, offered_exit},
    WordRow{"true entry", 0x490, 0x0000'11fb, offered_entry},
};

struct Vmx : FakeProcessor {
    Vmx() { offer_vmx(); }
    NestedCapabilities offered(HiddenFeatures hidden = {}) { return {*this, true, hidden}; }
    u64 read(u32 msr, HiddenFeatures hidden = {}) {
        u64 value = 0;
        EXPECT_TRUE(offered(hidden).read(msr, value)) << std::hex << msr;
        return value;
    }
    ControlCapability controls(u32 msr, HiddenFeatures hidden = {}) {
        return ControlCapability::from_raw(read(msr, hidden));
    }
};

constexpr u32 bit_of(unsigned position) { return u32{1} << position; }

// covers: VMX controls of a guest
TEST(NestedCapability, AControlThatIsNotOfferedMustBe0) {
    Vmx processor;
    for (const WordRow& row : words) {
        const ControlCapability word = processor.controls(row.msr);
        EXPECT_EQ(word.must_be_1(), row.must_be_1) << row.name;
        EXPECT_EQ(word.may_be_1(), row.offered | row.must_be_1) << row.name;
        EXPECT_TRUE(word.accepts(word.must_be_1()) && word.accepts(word.may_be_1())) << row.name;
        for (unsigned bit = 0; bit < 32; ++bit) {
            const bool may = ((row.offered | row.must_be_1) >> bit & 1) != 0;
            EXPECT_EQ(word.accepts(word.completed(bit_of(bit))), may) << row.name << " " << bit;
        }
    }
}

TEST(NestedCapability, AControlIsOfferedOnlyIfTheProcessorHasIt) {
    for (const WordRow& row : words)
        for (unsigned bit = 0; bit < 32; ++bit) {
            Vmx processor;
            u64& whole = processor.msrs[row.msr];
            whole &= ~(u64{bit_of(bit) & ~row.must_be_1} << 32);
            if (!processor.offered().present()) continue;  // needed by nesting itself
            const u32 may = processor.controls(row.msr).may_be_1();
            EXPECT_EQ(may, (row.offered & ~bit_of(bit)) | row.must_be_1) << row.name << " " << bit;
        }
}

TEST(NestedCapability, WhatTheProcessorHoldsAt1IsHeldAt1) {
    Vmx processor;
    processor.msrs[0x48d] |= bit_of(7);  // posted interrupts, which are not offered
    EXPECT_EQ(processor.controls(0x48d).must_be_1(), 0x96u);
    EXPECT_EQ(processor.controls(0x48d).may_be_1(), 0xffu);
}

TEST(NestedCapability, WithoutTrueMsrsTheyReadAsThePlainOnes) {
    Vmx processor;
    for (const u32 msr : {0x48du, 0x48eu, 0x48fu, 0x490u}) processor.msrs[msr] = 0;
    processor.msrs[0x480] = VmxBasic::of(0x11, 4096).to_raw();
    EXPECT_TRUE(VmxBasic::from_raw(processor.read(0x480)).has_true_controls());
    for (u32 i = 0; i < 4; ++i) EXPECT_EQ(processor.read(0x48d + i), processor.read(0x481 + i));
}

TEST(NestedCapability, AHiddenFeatureTakesItsControlAway) {
    const struct {
        HiddenFeature feature;
        unsigned bit;
    } rows[]{{HiddenFeature::rdtscp, 3},   {HiddenFeature::rdrand, 11},
             {HiddenFeature::invpcid, 12}, {HiddenFeature::rdseed, 16},
             {HiddenFeature::xsaves, 20},  {HiddenFeature::waitpkg, 26}};
    Vmx processor;
    for (const auto& row : rows)
        EXPECT_EQ(processor.controls(0x48b, {row.feature}).may_be_1(),
                  offered_secondary & ~bit_of(row.bit))
            << row.bit;
    EXPECT_EQ(processor.controls(0x48e, {HiddenFeature::monitor}).may_be_1(),
              offered_primary | 0x0400'6172u);
}

TEST(NestedCapability, NothingIsOfferedWithoutWhatNestingNeeds) {
    Vmx whole;
    EXPECT_TRUE(whole.offered().present());
    EXPECT_FALSE((NestedCapabilities{whole, false}.present()));
    const auto lacks = [](u32 msr, u64 bits) {
        Vmx processor;
        processor.msrs[msr] &= ~bits;
        const NestedCapabilities offered = processor.offered();
        u64 value = 0;
        for (u32 number = 0x480; number <= 0x493; ++number)
            EXPECT_FALSE(!offered.present() && offered.read(number, value));
        return !offered.present();
    };
    EXPECT_TRUE(lacks(0x48e, u64{1} << 63)) << "secondary controls";
    EXPECT_TRUE(lacks(0x48e, u64{1} << 60)) << "MSR bitmaps";
    EXPECT_TRUE(lacks(0x48b, u64{1} << 33)) << "EPT";
    EXPECT_TRUE(lacks(0x48b, u64{1} << 37)) << "VPID";
    EXPECT_TRUE(lacks(0x48b, u64{1} << 39)) << "unrestricted guest";
    EXPECT_TRUE(lacks(0x48c, u64{1} << 6)) << "4 levels";
    EXPECT_TRUE(lacks(0x48c, u64{1} << 14)) << "write-back";
    EXPECT_FALSE(lacks(0x48c, 1)) << "execute-only entries";
    Vmx without;
    without.cpuid_leaves[{1, 0}].ecx &= ~bit_of(5);
    EXPECT_FALSE(without.offered().present()) << "CPUID.1:ECX.VMX";
}

TEST(NestedCapability, TheRevisionIsNotTheProcessors) {
    Vmx processor;
    const auto basic = VmxBasic::from_raw(processor.read(0x480));
    EXPECT_EQ(basic.revision(), vmcs12_revision);
    EXPECT_EQ(processor.read(0x480), VmxBasic::of(vmcs12_revision, 4096).to_raw() | u64{3} << 54);
    processor.msrs[0x480] = VmxBasic::of(vmcs12_revision, 4096).with_true_controls().to_raw();
    EXPECT_EQ(processor.read(0x480),
              VmxBasic::of(vmcs12_revision + 1, 4096).to_raw() | u64{2} << 54)
        << "no INS and OUTS information either";
}

TEST(NestedCapability, TheOtherMsrsAreTheProcessorsWithoutWhatIsNotCarriedOut) {
    Vmx processor;
    EXPECT_EQ(processor.read(0x485), 0x4004'0165u)
        << "no VMWRITE to any field, no MSEG, no start in shutdown";
    EXPECT_EQ(processor.read(0x486), 0x8000'0021u);
    EXPECT_EQ(processor.read(0x487), 0xffff'ffffu);
    EXPECT_EQ(processor.read(0x488), 0x2000u);
    EXPECT_EQ(processor.read(0x489), 0x0077'2fffu);
    EXPECT_EQ(processor.read(0x48a), 0x32u) << "TSC multiplier";
    EXPECT_EQ(processor.read(0x48c), 0x0f01'0633'4141u);
    processor.msrs[0x485] = 0x0042;
    EXPECT_EQ(processor.read(0x485), 0x42u) << "timer shift 2, HLT";
    processor.msrs[0x489] = 0x0067'6fff;
    EXPECT_EQ(processor.read(0x489), 0x0067'2fffu) << "VMXE, but not SMXE";
    processor.msrs[0x48b] &= ~(u64{1} << 57);
    EXPECT_EQ(processor.read(0x48a), 0x2eu);
    u64 value = 0;
    for (const u32 msr : {0x491u, 0x492u, 0x493u, 0x47fu, 0x494u})
        EXPECT_FALSE(processor.offered().read(msr, value)) << std::hex << msr;
}

TEST(NestedCapability, AFieldExistsWithTheControlThatBringsIt) {
    Vmx processor;
    const NestedCapabilities offered = processor.offered();
    for (const VmcsField field :
         {VmcsField::guest_rip, VmcsField::ept_pointer, VmcsField::tsc_multiplier,
          VmcsField::encls_exiting_bitmap, VmcsField::ple_gap, VmcsField::guest_ia32_efer,
          VmcsField::host_ia32_pat, VmcsField::virtual_apic_address})
        EXPECT_TRUE(offered.field_exists(field)) << name_of(field);
    for (const VmcsField field :
         {VmcsField::posted_interrupt_descriptor_address, VmcsField::eoi_exit_bitmap_0,
          VmcsField::vm_function_controls, VmcsField::vmread_bitmap_address, VmcsField::pml_address,
          VmcsField::guest_ia32_perf_global_ctrl, VmcsField::guest_ia32_bndcfgs})
        EXPECT_FALSE(offered.field_exists(field)) << name_of(field);
    EXPECT_FALSE(
        processor.offered({HiddenFeature::xsaves}).field_exists(VmcsField::xss_exiting_bitmap));
}

// What the guest itself sees.

Config nested_config() {
    Config config = default_config();
    config.nested = true;
    return config;
}

struct Read {
    bool faulted;
    u64 value;
};
Read rdmsr(Machine& machine, u32 msr) {
    machine.normal_exit(BasicReason::rdmsr, {.length = 2, .rcx = msr});
    if (machine.processor.at(VmcsField::guest_rip) == kernel_rip) {
        expect_exception(machine.injected(), Vector::general_protection);
        return {true, 0};
    }
    const auto& gpr = machine.vcpu.registers().gpr;
    return {false, gpr[rdx] << 32 | gpr[rax]};
}
bool wrmsr_faults(Machine& machine, u32 msr, u64 value) {
    machine.vcpu.registers().gpr[rdx] = value >> 32;
    machine.normal_exit(BasicReason::wrmsr, {.length = 2, .rax = value & 0xffff'ffff, .rcx = msr});
    if (machine.processor.at(VmcsField::guest_rip) != kernel_rip) return false;
    expect_exception(machine.injected(), Vector::general_protection);
    return true;
}
u32 features(Machine& machine) {
    machine.normal_exit(BasicReason::cpuid, {.length = 2, .rax = 1, .rcx = 0});
    return static_cast<u32>(machine.vcpu.registers().gpr[rcx]);
}

TEST(NestedCapability, AGuestWithVmxReadsItsMsrsAndWritesNone) {
    Machine machine{nested_config()};
    const NestedCapabilities expected{machine.processor, true, machine.vm.config().hidden};
    for (u32 msr = 0x480; msr <= 0x493; ++msr) {
        u64 value = 0;
        const bool there = expected.read(msr, value);
        EXPECT_EQ(there, msr <= 0x490) << std::hex << msr;
        const Read read = rdmsr(machine, msr);
        EXPECT_EQ(read.faulted, !there) << std::hex << msr;
        EXPECT_EQ(read.value, value) << std::hex << msr;
        EXPECT_TRUE(wrmsr_faults(machine, msr, value)) << std::hex << msr;
    }
    EXPECT_EQ(features(machine) >> 5 & 3, 1u) << "VMX, no SMX";
    EXPECT_EQ(rdmsr(machine, 0x3a).value, 0x6'0005u) << "locked, VMX outside SMX, SGX";
    EXPECT_TRUE(wrmsr_faults(machine, 0x3a, 0x6'0005));
}

TEST(NestedCapability, AnUnlockedFeatureControlTakesTheBitsThatTheGuestHas) {
    Machine machine{nested_config()};
    machine.vm.sgx().set_feature_control(0);
    EXPECT_TRUE(wrmsr_faults(machine, 0x3a, 3)) << "VMX in SMX";
    EXPECT_FALSE(wrmsr_faults(machine, 0x3a, 5));
    EXPECT_EQ(rdmsr(machine, 0x3a).value, 5u);
    EXPECT_TRUE(wrmsr_faults(machine, 0x3a, 5)) << "locked";
}

/// On a processor without VMX for guests, and on one that has it.
TEST(NestedCapability, AGuestWithoutVmxSeesNoneOfIt) {
    for (const bool has_vmx : {false, true}) {
        Machine machine;
        if (has_vmx) machine.processor.offer_vmx();
        for (u32 msr = 0x480; msr <= 0x493; ++msr) {
            EXPECT_TRUE(rdmsr(machine, msr).faulted) << std::hex << msr;
            EXPECT_TRUE(wrmsr_faults(machine, msr, 0)) << std::hex << msr;
        }
        EXPECT_EQ(features(machine) >> 5 & 3, 0u);
        EXPECT_EQ(rdmsr(machine, 0x3a).value, 0x6'0001u);
        machine.vm.sgx().set_feature_control(0);
        EXPECT_TRUE(wrmsr_faults(machine, 0x3a, 5)) << "VMX outside SMX";
        EXPECT_EQ(machine.vcpu.nested().state().vmcs02, 0u) << "no page is taken";
    }
}

TEST(NestedCapability, TheSecondVmcsAndItsBitmapArePagesOfOurs) {
    Machine machine{nested_config()};
    const Nested::State& state = machine.vcpu.nested().state();
    const std::array pages{state.vmcs01, state.vmcs02, state.msr_bitmap01, state.msr_bitmap02};
    for (size_t i = 0; i < pages.size(); ++i) {
        EXPECT_GE(pages[i], 6u << 20) << "of the pool";
        for (size_t k = 0; k < i; ++k) EXPECT_NE(pages[i], pages[k]);
    }
    EXPECT_EQ(machine.processor.at(VmcsField::msr_bitmap), state.msr_bitmap01);
    EXPECT_EQ(machine.processor.ram.at(state.vmcs02), 0x11u) << "the processor's revision";
    EXPECT_EQ(machine.processor.ram.at(state.msr_bitmap02), 0xffu);
}

}  // namespace
}  // namespace postern::hv::test
