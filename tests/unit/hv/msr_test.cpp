// SPDX-License-Identifier: Apache-2.0
// The MSRs a guest finds: which exist, what they read as, what they refuse; and which never exit.
#include <algorithm>
#include <optional>
#include <vector>

#include "arch/msr.h"
#include "arch/vmx/controls.h"
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

/// Nothing: #GP(0).
std::optional<u64> read(Machine& machine, u64 msr) {
    EXPECT_EQ(machine.normal_exit(BasicReason::rdmsr, {.length = 2, .rcx = msr}), Next::resume);
    if (machine.processor.at(VmcsField::guest_rip) != kernel_rip) {
        const auto& gpr = machine.vcpu.registers().gpr;
        EXPECT_EQ((gpr[rax] | gpr[rdx]) >> 32, 0u);
        return gpr[rdx] << 32 | gpr[rax];
    }
    expect_exception(machine.injected(), Vector::general_protection);
    return std::nullopt;
}

/// False: #GP(0).
bool write(Machine& machine, u64 msr, u64 value) {
    machine.vcpu.registers().gpr[rdx] = value >> 32;
    EXPECT_EQ(machine.normal_exit(BasicReason::wrmsr,
                                  {.length = 2, .rax = value & 0xffff'ffff, .rcx = msr}),
              Next::resume);
    if (machine.processor.at(VmcsField::guest_rip) != kernel_rip) return true;
    expect_exception(machine.injected(), Vector::general_protection);
    return false;
}

bool exits(Machine& machine, u32 msr, bool write) {
    const u8* bitmap = machine.processor.ram.data() + machine.processor.at(VmcsField::msr_bitmap);
    const u32 index =
        (write ? 2048u : 0u) * 8 + (msr >= 0xc000'0000 ? 1024u * 8 : 0) + (msr & 0x1fff);
    return (bitmap[index / 8] >> index % 8 & 1) != 0;
}

struct Storage {
    u32 msr;
    u64 accepted;
    u64 refused;
};

TEST(MsrTable, WhatIsStoredReadsBackAndReservedBitsAreGp) {
    const Storage storage[] = {
        {0x1a0, 0x1801, u64{1} << 1},             // IA32_MISC_ENABLE
        {0x1d9, 0x3, 0x4},                        // IA32_DEBUGCTL: LBR, BTF
        {0x1fc, 0xffff'ffff, u64{1} << 32},       // POWER_CTL
        {0x200, 0xc000'0000, 0x2},                // MTRR base: type 2 is reserved
        {0x200, 0x6, 0x106},                      //
        {0x201, 0x3fff'c000'0800, 0x400},         // MTRR mask: bits 10:0
        {0x213, 0x3fff'ffff'f800, u64{1} << 46},  // beyond the physical address
        {0x250, 0x0606'0606'0606'0606, 0x2},      //
        {0x259, 0, u64{7} << 56},                 //
        {0x26f, 0x0504'0100'0605'0400, 0x3},      //
        {0x277, 0x0007'0406'0001'0506, 0x2},      // IA32_PAT
        {0x2ff, 0xc06, 0x1000},                   // IA32_MTRR_DEF_TYPE
        {0x2ff, 0xc00, 0x2},                      //
        {0xc000'0080, 0xd01, 0x2},                // IA32_EFER
        {0x174, 0x10, u64{1} << 32},              // IA32_SYSENTER_CS
        {0x175, 0xffff'8000'0000'0000, u64{1} << 47},
        {0xc000'0100, 0x7fff'ffff'ffff, 0x8000'0000'0000'0000},  // IA32_FS_BASE
    };
    for (const Storage& row : storage) {
        Machine machine;
        EXPECT_TRUE(write(machine, row.msr, row.accepted)) << std::hex << row.msr;
        EXPECT_EQ(read(machine, row.msr), row.accepted) << std::hex << row.msr;
        EXPECT_FALSE(write(machine, row.msr, row.refused)) << std::hex << row.msr;
        EXPECT_EQ(read(machine, row.msr), row.accepted) << std::hex << row.msr;
    }
}

TEST(MsrTable, WhatIsReadOnlyShowsTheProcessorsValueAndRefusesAWrite) {
    for (const u32 msr : {0x17u, 0x34u, 0xceu, 0xfeu, 0x10au}) {
        Machine machine;
        machine.processor.msrs[msr] = 0x1234'5678'9abc;
        EXPECT_EQ(read(machine, msr), 0x1234'5678'9abcu) << std::hex << msr;
        EXPECT_FALSE(write(machine, msr, 0)) << std::hex << msr;
        EXPECT_EQ(machine.processor.msrs[msr], 0x1234'5678'9abcu);
    }
}

TEST(MsrTable, MachineCheckAndOldPentiumRegistersAreZero) {
    Machine machine;
    for (const u32 msr : {0x0u, 0x1u, 0x179u, 0x17au}) EXPECT_EQ(read(machine, msr), 0u);
    EXPECT_TRUE(write(machine, 0x0, 5));
    EXPECT_EQ(read(machine, 0x0), 0u);
    EXPECT_TRUE(write(machine, 0x17a, 0));
    EXPECT_FALSE(write(machine, 0x17a, 1));
    EXPECT_FALSE(write(machine, 0x179, 0));
}

TEST(MsrTable, TheMicrocodeRevisionIsTheProcessorsAndAWriteIsIgnored) {
    Machine machine;
    machine.processor.msrs[0x8b] = u64{0xd0003f0} << 32;
    EXPECT_TRUE(write(machine, 0x8b, 0));
    EXPECT_EQ(read(machine, 0x8b), u64{0xd0003f0} << 32);
}

TEST(MsrTable, CommandsAreWrittenThroughAndCannotBeRead) {
    for (const u32 msr : {0x49u, 0x10bu}) {
        Machine machine;
        EXPECT_TRUE(write(machine, msr, 1));
        EXPECT_EQ(machine.processor.msrs[msr], 1u);
        EXPECT_EQ(read(machine, msr), std::nullopt) << std::hex << msr;
    }
}

TEST(MsrTable, WhatTheGuestsCpuidDoesNotOfferIsGp) {
    struct Feature {
        u32 msr;
        u32 leaf, subleaf;
    };
    const Feature features[] = {{0x3b, 7, 0},    {0x48, 7, 0},
                                {0x49, 7, 0},    {0xe1, 7, 0},
                                {0x10a, 7, 0},   {0x10b, 7, 0},
                                {0xfe, 1, 0},    {0x179, 1, 0},
                                {0x200, 1, 0},   {0x250, 1, 0},
                                {0x2ff, 1, 0},   {0x277, 1, 0},
                                {0xda0, 0xd, 1}, {0xc000'0103, 0x8000'0001, 0}};
    for (const Feature& feature : features) {
        Machine machine;
        if (feature.msr != 0x49 && feature.msr != 0x10b) {
            EXPECT_NE(read(machine, feature.msr), std::nullopt) << std::hex << feature.msr;
        }
        machine.processor.cpuid_leaves[{feature.leaf, feature.subleaf}] = {};
        EXPECT_EQ(read(machine, feature.msr), std::nullopt) << std::hex << feature.msr;
        EXPECT_FALSE(write(machine, feature.msr, 0)) << std::hex << feature.msr;
    }
}

TEST(MsrTable, WhatTheConfigurationHidesIsGp) {
    const std::pair<HiddenFeature, u32> hidden[] = {{HiddenFeature::waitpkg, 0xe1},
                                                    {HiddenFeature::xsaves, 0xda0},
                                                    {HiddenFeature::rdtscp, 0xc000'0103}};
    for (const auto& [feature, msr] : hidden) {
        Config config = default_config();
        config.hidden = {feature};
        Machine machine{config};
        EXPECT_EQ(read(machine, msr), std::nullopt) << std::hex << msr;
        EXPECT_TRUE(exits(machine, msr, false)) << std::hex << msr;
        EXPECT_TRUE(exits(machine, msr, true)) << std::hex << msr;
    }
}

TEST(MsrTable, WhatNobodyHasIsGp) {
    for (const u32 msr :
         {0x2u,   0x4eu,  0x79u,  0xc1u,  0x17bu,       0x186u,       0x214u,
          0x251u, 0x270u, 0x345u, 0x38fu, 0x400u,       0x480u,       0x493u,
          0x560u, 0x6a0u, 0x6e1u, 0x770u, 0x4000'0000u, 0x4b56'4d00u, 0xc000'0104u}) {
        Machine machine;
        EXPECT_EQ(read(machine, msr), std::nullopt) << std::hex << msr;
        EXPECT_FALSE(write(machine, msr, 0)) << std::hex << msr;
    }
}

TEST(MsrTable, OnlyAsManyVariableRangesExistAsTheProcessorSays) {
    Machine machine;
    machine.processor.msrs[0xfe] = 0x508;
    EXPECT_TRUE(write(machine, 0x20f, 0x800));
    EXPECT_FALSE(write(machine, 0x210, 0));
    EXPECT_EQ(read(machine, 0x213), std::nullopt);
}

TEST(MsrTable, AGuestStartsWithTheMemoryTypesItsProcessorHas) {
    FakeProcessor processor;
    FakeDevices devices;
    FakeWatcher watcher;
    Vm vm{processor, devices, watcher, default_config()};
    Vcpu vcpu{processor, vm};
    processor.msrs[0x2ff] = 0xc06;
    processor.msrs[0x200] = 0xc000'0000;
    processor.msrs[0x213] = 0x800;
    processor.msrs[0x250] = 0x0101'0101'0101'0101;
    processor.msrs[0x26f] = 0x0505'0505'0505'0505;
    processor.msrs[0x1a0] = 0x1801;
    ASSERT_TRUE(vcpu.start({}));
    for (const u32 msr : {0x200u, 0x213u, 0x250u, 0x26fu, 0x2ffu, 0x1a0u}) {
        processor.exits_with(ExitReason{BasicReason::rdmsr}, {.length = 2, .rcx = msr});
        ASSERT_EQ(vcpu.run_once(), Next::resume);
        EXPECT_EQ(vcpu.registers().gpr[rdx] << 32 | vcpu.registers().gpr[rax], processor.msrs[msr])
            << std::hex << msr;
    }
}

TEST(MsrTable, NoMtrrWriteReachesTheProcessor) {
    Machine machine;
    const auto before = machine.processor.msrs;
    EXPECT_TRUE(write(machine, 0x2ff, 0));
    EXPECT_TRUE(write(machine, 0x200, 0xc000'0000));
    EXPECT_TRUE(write(machine, 0x250, 0));
    EXPECT_TRUE(write(machine, 0x1a0, 1));
    EXPECT_TRUE(write(machine, 0x1fc, 1));
    EXPECT_EQ(machine.processor.msrs, before);
}

// SDM 3B, "Time-Stamp Counter Adjustment".
TEST(TimeStampCounter, AWriteMovesTheOffsetAndTheAdjustment) {
    Machine machine;
    machine.processor.now = 5000;
    machine.vcpu.registers().gpr[rdx] = 0;
    machine.normal_exit(BasicReason::wrmsr, {.length = 2, .rax = 100, .rcx = 0x10, .ticks = 1000});
    EXPECT_EQ(machine.processor.at(VmcsField::tsc_offset), u64{100} - 6000);
    EXPECT_EQ(machine.vcpu.guest_tsc(), 100u);
    EXPECT_EQ(read(machine, 0x3b), u64{100} - 6000);
    EXPECT_TRUE(write(machine, 0x3b, 7));
    EXPECT_EQ(machine.processor.at(VmcsField::tsc_offset), 7u);
    EXPECT_EQ(machine.vcpu.guest_tsc(), machine.processor.now + 7);
}

TEST(TimeStampCounter, OffsettingIsOn) {
    Machine machine;
    const auto primary = PrimaryControls::from_raw(
        static_cast<u32>(machine.processor.at(VmcsField::primary_processor_based_controls)));
    EXPECT_TRUE(primary.has(PrimaryControl::use_tsc_offsetting));
    EXPECT_EQ(machine.processor.at(VmcsField::tsc_offset), 0u);
}

TEST(MsrBitmap, WhatIsTheGuestsOwnDoesNotExitAndAllElseDoes) {
    const std::vector<u32> both{0x48,        0xe1,        0x174,       0x175,       0x176,
                                0xc000'0081, 0xc000'0082, 0xc000'0083, 0xc000'0084, 0xc000'0100,
                                0xc000'0101, 0xc000'0102, 0xc000'0103};
    const std::vector<u32> reads{0x10};
    const std::vector<u32> writes{0x49, 0x10b};
    Machine machine;
    const auto listed = [](const std::vector<u32>& list, u32 msr) {
        return std::find(list.begin(), list.end(), msr) != list.end();
    };
    for (u32 i = 0; i < 0x4000; ++i) {
        const u32 msr = i < 0x2000 ? i : 0xc000'0000 + i - 0x2000;
        EXPECT_EQ(exits(machine, msr, false), !listed(both, msr) && !listed(reads, msr))
            << std::hex << msr;
        EXPECT_EQ(exits(machine, msr, true), !listed(both, msr) && !listed(writes, msr))
            << std::hex << msr;
    }
}

}  // namespace
}  // namespace postern::hv::test
