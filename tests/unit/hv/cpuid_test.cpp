// SPDX-License-Identifier: Apache-2.0
// CPUID's filters, leaf by leaf: what a guest finds in place of what its processor says.
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

struct Answer {
    u32 eax, ebx, ecx, edx;
    friend bool operator==(const Answer&, const Answer&) = default;
    friend std::ostream& operator<<(std::ostream& out, const Answer& a) {
        return out << std::hex << a.eax << ' ' << a.ebx << ' ' << a.ecx << ' ' << a.edx;
    }
};

Answer ask(Vcpu& vcpu, FakeProcessor& processor, u32 leaf, u32 subleaf) {
    processor.exits_with(ExitReason{BasicReason::cpuid},
                         {.length = 2, .rax = leaf, .rcx = subleaf});
    EXPECT_EQ(vcpu.run_once(), Next::resume);
    const auto& gpr = vcpu.registers().gpr;
    EXPECT_EQ((gpr[rax] | gpr[rbx] | gpr[rcx] | gpr[rdx]) >> 32, 0u);
    return {static_cast<u32>(gpr[rax]), static_cast<u32>(gpr[rbx]), static_cast<u32>(gpr[rcx]),
            static_cast<u32>(gpr[rdx])};
}

constexpr u32 all = ~0u;

struct Row {
    u32 leaf, subleaf;
    Answer guest;  // where the processor answers with ones everywhere
};

// SDM 2A, "CPUID". The guest is virtual processor 3, CR4 is 0.
constexpr Row rows[] = {
    {0x1, 0, {all, 0x03ff'ffff, all & ~(1u << 3 | 1u << 5 | 1u << 6 | 1u << 27), all}},
    {0x4, 0, {all, all, all, all}},
    {0x5, 0, {0, 0, 0, 0}},
    {0x6, 0, {all, all, all, all}},
    {0x7, 0, {all, all, all & ~(1u << 4), all}},
    {0x7, 1, {all, all, all, all}},
    {0xb, 0, {all, all, all, 3}},
    {0xb, 1, {all, all, all, 3}},
    {0xd, 0, {all, all, all, all}},
    {0xd, 1, {all, all, all, all}},
    {0x15, 0, {all, all, all, all}},
    {0x16, 0, {all, all, all, all}},
    {0x1f, 0, {all, all, all, 3}},
    {0x4000'0001, 0, {0, 0, 0, 0}},
    {0x4fff'ffff, 0, {0, 0, 0, 0}},
    {0x8000'0001, 0, {all, all, all, all}},
    {0x8000'0008, 0, {all, all, all, all}},
};

struct Third {
    explicit Third(const Config& config = default_config())
        : vm{processor, devices, watcher, config}, vcpu{processor, vm, 3} {
        for (const Row& row : rows)
            processor.cpuid_leaves[{row.leaf, row.subleaf}] = {all, all, all, all};
        processor.cpuid_leaves[{0, 0}] = {0x1f, 0, 0, 0};
        started = vcpu.start({});
        processor.at(VmcsField::guest_cr4) = 0x2020;
        processor.at(VmcsField::cr4_read_shadow) = 0x20;
    }
    Answer ask(u32 leaf, u32 subleaf = 0) { return test::ask(vcpu, processor, leaf, subleaf); }

    FakeProcessor processor;
    FakeDevices devices;
    FakeWatcher watcher;
    Vm vm;
    Vcpu vcpu;
    bool started = false;
};

TEST(CpuidTable, EveryLeafIsTheProcessorsButForWhatIsFiltered) {
    Third third;
    ASSERT_TRUE(third.started);
    for (const Row& row : rows)
        EXPECT_EQ(third.ask(row.leaf, row.subleaf), row.guest)
            << std::hex << row.leaf << " " << row.subleaf;
}

TEST(CpuidTable, OsxsaveAndOspkeFollowTheGuestsCr4) {
    Third third;
    third.processor.at(VmcsField::guest_cr4) |= 1 << 18;
    EXPECT_EQ(third.ask(1).ecx >> 27 & 1, 1u);
    EXPECT_EQ(third.ask(7).ecx >> 4 & 1, 0u);
    third.processor.at(VmcsField::guest_cr4) |= 1 << 22;
    EXPECT_EQ(third.ask(7).ecx >> 4 & 1, 1u);
}

TEST(CpuidTable, WhereThereIsNoTopologyLeafNothingIsMadeUp) {
    Third third;
    third.processor.cpuid_leaves[{0, 0}] = {0x16, 0, 0, 0};
    third.processor.cpuid_leaves[{0x1f, 0}] = {1000, 1000, 25, 0};
    EXPECT_EQ(third.ask(0x1f), (Answer{1000, 1000, 25, 0}));
}

TEST(CpuidTable, MonitorIsShownIfTheConfigurationSaysSo) {
    Config config = default_config();
    config.hidden = {};
    Third third{config};
    EXPECT_EQ(third.ask(1).ecx >> 3 & 1, 1u);
    EXPECT_EQ(third.ask(5).eax, all);
    const auto primary = PrimaryControls::from_raw(
        static_cast<u32>(third.processor.at(VmcsField::primary_processor_based_controls)));
    EXPECT_FALSE(primary.has(PrimaryControl::mwait_exiting));
    EXPECT_FALSE(primary.has(PrimaryControl::monitor_exiting));
}

TEST(HiddenMonitor, BothInstructionsAreUndefined) {
    for (const BasicReason reason : {BasicReason::monitor, BasicReason::mwait}) {
        Machine machine;
        machine.normal_exit(reason, {.length = 3});
        EXPECT_EQ(machine.anomalies(), 0u);
        expect_exception(machine.injected(), Vector::invalid_opcode);
    }
}

}  // namespace
}  // namespace postern::hv::test
