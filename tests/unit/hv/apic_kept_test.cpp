// SPDX-License-Identifier: Apache-2.0
// What is kept of the virtual local APIC from one entry to the next, and everything that makes it
// another: the processor's own work on the page, a snapshot, RESET, INIT, a guest's guest.
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "tests/unit/hv/apic_machine.h"

namespace postern::hv::test {
namespace {

using F = VmcsField;

const ExitInfo masked{.rflags = 0x2};

/// What a snapshot has of the machine.
class Saved {
public:
    explicit Saved(ApicMachine& machine)
        : state_{std::make_unique<Vcpu::State>()}, vmcs_{machine.processor.vmcs} {
        machine.vcpu->save(*state_);
        const u8* const page = machine.processor.ram.data() + state_->apic.page;
        page_.assign(page, page + page_size);
    }
    /// Memory comes first, the processor last.
    void restore(ApicMachine& machine) const {
        std::memcpy(machine.processor.ram.data() + state_->apic.page, page_.data(), page_size);
        ASSERT_TRUE(machine.vcpu->restore(*state_));
        machine.processor.vmcs = vmcs_;
    }

private:
    std::unique_ptr<Vcpu::State> state_;
    std::map<F, u64> vmcs_;
    std::vector<u8> page_;
};

class KeptApic : public ::testing::TestWithParam<Way> {
protected:
    /// Requested where the processor delivers, else delivered.
    void expect_arrival(int vector) {
        machine.injected();
        const VirtualApic& apic = machine.vcpu->apic();
        EXPECT_EQ(GetParam() == Way::whole ? apic.requested() : apic.in_service(), vector);
    }

    ApicMachine machine{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(EveryWay, KeptApic,
                         ::testing::Values(Way::emulated, Way::shadow, Way::whole));

TEST_P(KeptApic, AMessageThatASnapshotHasArrivesAfterItsRestore) {
    machine.expect_nothing();
    machine.message(0x41);
    const Saved saved{machine};
    expect_arrival(0x41);
    saved.restore(machine);
    expect_arrival(0x41);
}

TEST_P(KeptApic, ARequestThatASnapshotHasIsThereAfterItsRestore) {
    machine.message(0x41);
    machine.expect_nothing(masked);
    const Saved saved{machine};
    machine.vcpu->receive({0, false, false, DeliveryMode::init, 0});
    machine.expect_nothing(masked);
    ASSERT_EQ(machine.vcpu->apic().requested(), -1);
    saved.restore(machine);
    EXPECT_EQ(machine.vcpu->apic().requested(), 0x41);
    machine.expect_nothing();
    expect_arrival(0x41);
}

TEST_P(KeptApic, WhatASnapshotHasInServiceHoldsBackAfterItsRestore) {
    machine.expect_nothing();
    machine.message(0x41);
    machine.injected();
    machine.put(apic::reg_requested + 2, 0);
    machine.put(apic::reg_in_service + 2, 2);
    machine.expect_nothing();
    const Saved saved{machine};
    machine.vcpu->receive({0, false, false, DeliveryMode::init, 0});
    machine.expect_nothing(masked);
    ASSERT_EQ(machine.vcpu->apic().in_service(), -1);
    saved.restore(machine);
    EXPECT_EQ(machine.vcpu->apic().in_service(), 0x41);
    machine.message(0x42);
    machine.expect_nothing();
    EXPECT_EQ(machine.vcpu->apic().requested(), 0x42);
}

TEST_P(KeptApic, AnAcknowledgedInterruptThatASnapshotHasGoesInAfterItsRestore) {
    machine.expect_nothing(masked);
    ASSERT_TRUE(machine.vcpu->queue_interrupt(0x41));
    const Saved saved{machine};
    machine.expect_nothing(masked);
    machine.exits(BasicReason::interrupt_window, {.rflags = interrupts_on});
    machine.expect_interrupt(0x41);
    machine.expect_nothing();
    saved.restore(machine);
    machine.exits(BasicReason::external_interrupt, {.rflags = interrupts_on});
    machine.expect_interrupt(0x41);
}

TEST_P(KeptApic, InitLeavesNothingThatWaits) {
    machine.message(0x51);
    machine.expect_nothing(masked);
    ASSERT_TRUE(machine.vcpu->queue_interrupt(0x41));
    machine.vcpu->receive({0, false, false, DeliveryMode::init, 0});
    machine.expect_nothing(masked);
    machine.expect_nothing();
    machine.expect_nothing();
    EXPECT_EQ(machine.vcpu->apic().requested(), -1);
    EXPECT_EQ(machine.vcpu->apic().in_service(), -1);
}

TEST(KeptStatus, WhatTheProcessorDoesToThePageIsSeen) {
    ApicMachine machine{Way::whole};
    machine.message(0x41);
    machine.expect_nothing();
    machine.put(apic::reg_requested + 2, 0);
    machine.put(apic::reg_in_service + 2, 2);
    machine.expect_nothing();
    EXPECT_EQ(machine.vcpu->apic().requested(), -1);
    EXPECT_EQ(machine.vcpu->apic().in_service(), 0x41);
    machine.expect_nothing();
    EXPECT_EQ(machine.processor.writes_of(F::guest_interrupt_status), 0u) << "it has it already";
    machine.put(apic::reg_in_service + 2, 0);
    machine.expect_nothing();
    EXPECT_EQ(machine.vcpu->apic().in_service(), -1);
}

TEST(KeptStatus, WhatTheGuestHasTakenAndEndedBetweenTwoExitsIsNotAskedForAgain) {
    ApicMachine machine{Way::whole};
    machine.expect_nothing();
    machine.message(0x41);
    machine.processor.entry_fails(EntryOutcome::running);
    ASSERT_EQ(machine.vcpu->run_once(), Next::paused);
    ASSERT_EQ(machine.processor.at(F::guest_interrupt_status), 0x41u);
    machine.put(apic::reg_requested + 2, 0);
    machine.expect_nothing();
    EXPECT_EQ(machine.vcpu->apic().requested(), -1);
}

TEST(KeptStatus, IsWrittenOnlyWhereItChanges) {
    ApicMachine machine{Way::whole};
    const auto writes = [&](u8 vector) {
        if (vector != 0) machine.message(vector);
        machine.expect_nothing(masked);
        return machine.processor.writes_of(F::guest_interrupt_status);
    };
    EXPECT_EQ(writes(0x41), 1u);
    EXPECT_EQ(writes(0), 0u);
    EXPECT_EQ(writes(0x31), 0u) << "another is in front of it";
    EXPECT_EQ(writes(0x52), 1u);
    EXPECT_EQ(machine.processor.at(F::guest_interrupt_status), 0x52u);
}

TEST(KeptStatus, EoiExitsAreWrittenOnlyWhereTriggersChange) {
    ApicMachine machine{Way::whole};
    const auto writes = [&](u8 vector, bool level) {
        machine.message(vector, level);
        machine.expect_nothing(masked);
        return machine.processor.writes_of(F::eoi_exit_bitmap_1);
    };
    EXPECT_EQ(writes(0x61, true), 1u);
    EXPECT_EQ(writes(0x61, true), 0u);
    EXPECT_EQ(writes(0x41, false), 0u);
    EXPECT_EQ(writes(0x61, false), 1u);
    EXPECT_EQ(machine.processor.at(F::eoi_exit_bitmap_1), 0u);
}

/// The message has come while the guest ran: it is in the page, and no entry has told the
/// processor.
void collect_without_entry(ApicMachine& machine, u8 vector, bool level) {
    machine.processor.entry_fails(EntryOutcome::running);
    ASSERT_EQ(machine.vcpu->run_once(), Next::paused);
    machine.message(vector, level);
    machine.exits(BasicReason::rdmsr, {.length = 2, .rcx = 0x6e0});
    ASSERT_EQ(machine.vcpu->apic().requested(), vector);
}

TEST(KeptStatus, OfARestoredVmcsNothingIsKnown) {
    ApicMachine machine{Way::whole};
    machine.expect_nothing(masked);
    collect_without_entry(machine, 0x41, true);
    const Saved saved{machine};
    for (int restores = 0; restores < 2; ++restores) {
        machine.expect_nothing(masked);
        EXPECT_EQ(machine.processor.writes_of(F::guest_interrupt_status), 1u);
        EXPECT_EQ(machine.processor.at(F::eoi_exit_bitmap_1), u64{2});
        saved.restore(machine);
        ASSERT_EQ(machine.processor.at(F::guest_interrupt_status), 0u);
        ASSERT_EQ(machine.processor.at(F::eoi_exit_bitmap_1), 0u);
    }
}

TEST(KeptStatus, ResetLeavesNeitherVectorsNorEoiExits) {
    ApicMachine machine{Way::whole};
    machine.message(0x61, true);
    machine.expect_nothing(masked);
    ASSERT_NE(machine.processor.at(F::eoi_exit_bitmap_1), 0u);
    ASSERT_TRUE(machine.vcpu->reset());
    machine.expect_nothing();
    EXPECT_EQ(machine.processor.writes_of(F::guest_interrupt_status), 1u);
    EXPECT_EQ(machine.processor.at(F::guest_interrupt_status), 0u);
    EXPECT_EQ(machine.processor.at(F::eoi_exit_bitmap_1), 0u);
}

/// L2's VMCS has a status of its own, which says nothing of L1's page.
TEST(KeptStatus, IsOfTheFirstVmcsWhileAGuestsGuestRuns) {
    ApicMachine machine{Way::whole, 1, true};
    machine.message(0x41);
    machine.expect_nothing(masked);
    machine.enter_l2();
    machine.expect_nothing(masked);
    EXPECT_EQ(machine.processor.writes_of(F::guest_interrupt_status), 0u) << "it is L2's";
    ASSERT_TRUE(machine.vcpu->reset());
    ASSERT_EQ(machine.processor.at(F::guest_interrupt_status), 0x41u);
    machine.expect_nothing();
    EXPECT_EQ(machine.processor.writes_of(F::guest_interrupt_status), 1u);
}

}  // namespace
}  // namespace postern::hv::test
