// SPDX-License-Identifier: Apache-2.0
// Messages between virtual processors, and those of devices: who gets them.
#include <array>
#include <cstring>
#include <memory>

#include "hv/apic/virtual_apic.h"
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

using namespace apic;

/// One of several processors: they share the first one's memory.
struct OneOfMany : FakeProcessor {
    FakeProcessor* first = nullptr;
    u8* page(Hpa address) override {
        return first != nullptr ? first->page(address) : FakeProcessor::page(address);
    }
};

constexpr unsigned count = 3;

class Messages : public ::testing::Test {
protected:
    Messages() {
        Config config = default_config();
        config.vcpus = count;
        vm = std::make_unique<Vm>(processors[0], devices, watcher, config);
        EXPECT_TRUE(vm->create());
        for (unsigned n = 0; n < count; ++n) {
            if (n != 0) processors[n].first = &processors[0];
            processors[n].cpuid_leaves[{1, 0}].ecx = 1u << 21;
            processors[n].cpuid_leaves[{0x8000'0008, 0}].eax = 40;
            vcpus[n] = std::make_unique<Vcpu>(processors[n], *vm, n);
            StartState start;
            start.rip = kernel_rip;
            EXPECT_TRUE(n == 0 ? vcpus[n]->start(start) : vcpus[n]->start_waiting());
        }
    }
    /// Every processor runs, with its local APIC enabled by software.
    void wake_all() {
        for (unsigned n = 1; n < count; ++n) {
            vcpus[n]->receive({n, false, false, DeliveryMode::start_up, 0x9a});
            write(n, reg_spurious, 0x1ff);
        }
    }
    void exits(unsigned n, BasicReason reason, const ExitInfo& info) {
        processors[n].exits_with(ExitReason{reason}, info);
        EXPECT_EQ(vcpus[n]->run_once(), Next::resume);
    }
    /// What the processor itself does to the page.
    void poke(unsigned n, u32 index, u32 value) {
        std::memcpy(processors[0].ram.data() + vcpus[n]->apic().state().page + index * 16, &value,
                    sizeof value);
    }
    /// In xAPIC mode, as the processor virtualizes the write.
    void write(unsigned n, u32 index, u32 value) {
        poke(n, index, value);
        exits(n, BasicReason::apic_write, {.qualification = index << 4});
    }
    void wrmsr(unsigned n, u32 msr, u64 value) {
        vcpus[n]->registers().gpr[rax] = value & 0xffff'ffff;
        vcpus[n]->registers().gpr[rdx] = value >> 32;
        exits(n, BasicReason::wrmsr, {.length = 2, .rcx = msr});
    }
    void all_to_x2apic() {
        for (unsigned n = 0; n < count; ++n) wrmsr(n, 0x1b, n == 0 ? 0xfee0'0d00 : 0xfee0'0c00);
    }
    /// A bit for each processor that has the vector among its requests; takes it back.
    unsigned takers(u8 vector) {
        unsigned who = 0;
        for (unsigned n = 0; n < count; ++n) {
            exits(n, BasicReason::external_interrupt, {});
            if (vcpus[n]->apic().requested() != vector) continue;
            who |= 1u << n;
            poke(n, reg_requested + vector / 32u, 0);
        }
        return who;
    }

    std::array<OneOfMany, count> processors;
    FakeDevices devices;
    FakeWatcher watcher;
    std::unique_ptr<Vm> vm;
    std::array<std::unique_ptr<Vcpu>, count> vcpus;
};

struct IpiRow {
    u64 command;
    unsigned takers;
};

TEST_F(Messages, IpisOfX2apicModeReachWhomTheyName) {
    wake_all();
    all_to_x2apic();
    const IpiRow rows[] = {
        {0x0000'0001'0000'0041, 0b010},                                  // physical
        {0x0000'0007'0000'0041, 0b000}, {0xffff'ffff'0000'0041, 0b111},  // broadcast
        {0x0000'0006'0000'0841, 0b110},                                  // logical, cluster 0
        {0x0001'0007'0000'0841, 0b000},                                  // another cluster
        {0x0000'0006'0000'0941, 0b010},  // lowest priority: among equals the lowest number
        {0x0000'0000'0004'0041, 0b001},  // self
        {0x0000'0000'0008'0041, 0b111},  // all
        {0x0000'0000'000c'0041, 0b110},  // all but self
        {0x0000'0001'0000'000f, 0b000},  // an illegal vector
        {0x0000'0001'0000'0241, 0b000},  // SMI: there is none
    };
    for (const IpiRow& row : rows) {
        wrmsr(0, 0x830, row.command);
        EXPECT_EQ(takers(0x41), row.takers) << std::hex << row.command;
    }
}

TEST_F(Messages, IpisOfXapicModeReachWhomTheyName) {
    wake_all();
    for (unsigned n = 0; n < count; ++n) write(n, reg_logical_destination, 1u << (24 + n));
    const IpiRow rows[] = {
        {0x0200'0000'0000'0041, 0b100}, {0xff00'0000'0000'0041, 0b111},
        {0x0500'0000'0000'0841, 0b101}, {0xff00'0000'0000'0841, 0b111},
        {0x0600'0000'0000'0941, 0b010}, {0x0000'0000'0004'0041, 0b001},
        {0x0000'0000'0008'0041, 0b111}, {0x0000'0000'000c'0041, 0b110},
    };
    for (const IpiRow& row : rows) {
        write(0, reg_command_high, static_cast<u32>(row.command >> 32));
        write(0, reg_command_low, static_cast<u32>(row.command));
        EXPECT_EQ(takers(0x41), row.takers) << std::hex << row.command;
    }
}

TEST_F(Messages, TheLeastBusyGetsWhatIsForTheLowestPriority) {
    wake_all();
    all_to_x2apic();
    wrmsr(0, 0x808, 0x50);
    wrmsr(1, 0x808, 0x30);
    wrmsr(2, 0x808, 0x20);
    EXPECT_TRUE(vm->deliver({0x7, true, false, DeliveryMode::lowest_priority, 0x61}));
    EXPECT_EQ(takers(0x61), 0b100u);
    wrmsr(2, 0x80f, 0xff);  // switched off by software
    EXPECT_TRUE(vm->deliver({0x7, true, false, DeliveryMode::lowest_priority, 0x61}));
    EXPECT_EQ(takers(0x61), 0b010u);
}

TEST_F(Messages, HowBusyARunningProcessorIsIsWhatItHasInServiceNow) {
    wake_all();
    all_to_x2apic();
    processors[0].entry_fails(EntryOutcome::running);
    EXPECT_EQ(vcpus[0]->run_once(), Next::paused);
    poke(0, reg_in_service + 4, 2);  // it takes 81H meanwhile
    EXPECT_TRUE(vm->deliver({0x3, true, false, DeliveryMode::lowest_priority, 0x61}));
    EXPECT_EQ(takers(0x61), 0b010u);
}

TEST_F(Messages, WhoeverIsNotThereTakesNothing) {
    EXPECT_FALSE(vm->deliver({7, false, false, DeliveryMode::fixed, 0x41}));
    EXPECT_FALSE(vm->deliver({1, false, false, DeliveryMode::fixed, 0x41})) << "not enabled yet";
    EXPECT_TRUE(vm->deliver({0, false, false, DeliveryMode::fixed, 0x41}));
}

TEST_F(Messages, TheOthersWaitForAStartUpMessage) {
    EXPECT_TRUE(vcpus[0]->wants_to_run());
    for (unsigned n = 1; n < count; ++n) {
        EXPECT_FALSE(vcpus[n]->wants_to_run());
        EXPECT_EQ(vcpus[n]->run_once(), Next::halt);
        vcpus[n]->receive({n, false, false, DeliveryMode::nmi, 0});
        vcpus[n]->receive({n, false, false, DeliveryMode::init, 0});
        EXPECT_FALSE(vcpus[n]->wants_to_run());
    }
    write(0, reg_command_high, 1u << 24);
    write(0, reg_command_low, 0x0000'c500);  // INIT
    write(0, reg_command_low, 0x0000'8500);  // its de-assertion
    write(0, reg_command_low, 0x0000'069a);
    EXPECT_TRUE(vcpus[1]->wants_to_run());
    EXPECT_FALSE(vcpus[2]->wants_to_run());
    EXPECT_EQ(processors[1].kicks.empty(), false);
    exits(1, BasicReason::external_interrupt, {});
    EXPECT_EQ(vcpus[1]->apic().state().activity, ActivityState::active);
    write(0, reg_command_low, 0x0000'069b);  // it does not wait any more
    EXPECT_EQ(vcpus[1]->apic().state().start_up_pending, 0u);
}

TEST_F(Messages, AnInitMakesARunningProcessorWaitAgainAndForget) {
    wake_all();
    write(1, reg_task_priority, 0x50);
    write(0, reg_command_high, 1u << 24);
    write(0, reg_command_low, 0x0000'4500);
    EXPECT_EQ(vcpus[1]->run_once(), Next::halt);
    EXPECT_FALSE(vcpus[1]->wants_to_run());
    EXPECT_EQ(vcpus[1]->apic().cr8(), 0u);
    EXPECT_FALSE(vcpus[1]->apic().accepts_fixed());
    write(0, reg_command_low, 0x0000'0699);
    EXPECT_TRUE(vcpus[1]->wants_to_run());
}

TEST_F(Messages, TheAccessPageIsSharedOnlyWhileAllHaveTheirApicThere) {
    constexpr Gpa page{0xfee0'0000};
    EXPECT_TRUE(vm->ept().is_mapped(page));
    wake_all();
    wrmsr(1, 0x1b, 0xfee0'0c00);
    EXPECT_FALSE(vm->ept().is_mapped(page));
    wrmsr(1, 0x1b, 0xfee0'0000);
    EXPECT_FALSE(vm->ept().is_mapped(page));
    wrmsr(1, 0x1b, 0xfee0'0800);
    EXPECT_TRUE(vm->ept().is_mapped(page));
}

TEST_F(Messages, The8259sAreTheFirstProcessors) {
    wake_all();
    vm->set_external(true);
    EXPECT_TRUE(vcpus[0]->apic().external_asks());
    EXPECT_FALSE(vcpus[1]->apic().external_asks());
}

}  // namespace
}  // namespace postern::hv::test
