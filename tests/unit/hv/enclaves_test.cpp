// SPDX-License-Identifier: Apache-2.0
// Whose exit it was: enclaves by SECS, linear range and address space.
#include "hv/enclave/enclaves.h"

#include <cstring>
#include <memory>

#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

constexpr Gva base{0x7f00'0000'0000};
constexpr u64 size = 0x10'0000;
constexpr u64 cr3 = 0x1'2340'0000;

struct Enclaves : testing::Test {
    struct Listener final : Watcher {
        void exit(const ExitRecord&) override {}
        void anomaly(Anomaly, const ExitRecord&) override {}
        void stopped(const StopReport&) override {}
        void enclave(const EnclaveIdentity& enclave) override { seen.push_back(enclave); }
        std::vector<EnclaveIdentity> seen;
    };

    /// 0: nobody's.
    [[nodiscard]] u64 whose(u64 tcs, u64 root) const {
        const EnclaveTable::Entry* const entry = table.find(tcs, root);
        return entry != nullptr ? entry->enclave.secs : 0;
    }
    void exits(u64 secs, BasicReason reason, ExitKind kind = ExitKind::enclave,
               Action action = Action::none) {
        table.count({.raw_reason = ExitReason{reason}.in_enclave().to_vmcs(),
                     .kind = kind,
                     .action = action,
                     .secs = secs});
    }
    [[nodiscard]] const EnclaveTable::Entry& number(u64 n) const {
        for (const EnclaveTable::Entry& entry : table.entries())
            if (entry.enclave.number == n) return entry;
        ADD_FAILURE() << "there is no enclave " << n;
        return table.entries()[0];
    }

    Listener listener;
    std::unique_ptr<EnclaveTable> table_memory = std::make_unique<EnclaveTable>(listener);
    EnclaveTable& table = *table_memory;
};

TEST_F(Enclaves, AreFoundByAnAddressInTheirRange) {
    EXPECT_EQ(whose(base.raw(), cr3), 0u);
    table.created(Gpa{0x5000}, base, size, cr3);
    EXPECT_EQ(whose(base.raw(), cr3), 0x5000u);
    EXPECT_EQ(whose(base.raw() + size - page_size, cr3), 0x5000u);
    EXPECT_EQ(whose(base.raw() + size, cr3), 0u);
    EXPECT_EQ(whose(base.raw() - page_size, cr3), 0u);
}

TEST_F(Enclaves, BelongToTheAddressSpaceThatCreatedThem) {
    table.created(Gpa{0x5000}, base, size, cr3);
    table.created(Gpa{0x6000}, base, size, cr3 + 0x4000);
    EXPECT_EQ(whose(base.raw(), cr3), 0x5000u);
    EXPECT_EQ(whose(base.raw(), cr3 + 0x4000), 0x6000u);
    EXPECT_EQ(whose(base.raw(), cr3 + 0x8000), 0u);
    EXPECT_EQ(whose(base.raw(), cr3 | 0x17), 0x5000u) << "a PCID is not part of the root";
    EXPECT_EQ(whose(base.raw(), cr3 | u64{3} << 61), 0x5000u) << "nor are the bits of LAM";
}

TEST_F(Enclaves, AreFoundUnderTheOtherRootOfPageTableIsolation) {
    table.created(Gpa{0x5000}, base, size, cr3);
    EXPECT_EQ(whose(base.raw(), cr3 | 0x1000), 0x5000u);
    // Without isolation the neighbouring frame is another process's root, and it goes first.
    table.created(Gpa{0x6000}, base, size, cr3 | 0x1000);
    table.created(Gpa{0x7000}, base, size, cr3);
    EXPECT_EQ(whose(base.raw(), cr3 | 0x1000), 0x6000u);
}

TEST_F(Enclaves, OfTwoInOnePlaceTheNewestIsMeant) {
    table.created(Gpa{0x5000}, base, size, cr3);
    table.created(Gpa{0x6000}, base, 2 * size, cr3);
    EXPECT_EQ(whose(base.raw(), cr3), 0x6000u);
}

TEST_F(Enclaves, ASecsPageThatIsUsedAgainIsTheNewEnclaves) {
    table.created(Gpa{0x5000}, base, size, cr3);
    exits(0x5000, BasicReason::ept_violation);
    table.created(Gpa{0x5000}, base + size, size, cr3);
    EXPECT_EQ(whose(base.raw(), cr3), 0u);
    EXPECT_EQ(whose(base.raw() + size, cr3), 0x5000u);
    exits(0x5000, BasicReason::external_interrupt);
    exits(0x5000, BasicReason::external_interrupt);
    ASSERT_EQ(table.entries().size(), 2u) << "what the first one did is still known";
    EXPECT_EQ(number(1).counters.exits, 1u);
    EXPECT_EQ(number(2).counters.exits, 2u);
}

TEST_F(Enclaves, AreToldOfAsTheyAreCreatedAndInitialized) {
    u8 mrenclave[32];
    for (size_t i = 0; i < 32; ++i) mrenclave[i] = static_cast<u8>(0xc0 + i);
    table.created(Gpa{0x5000}, base, size, cr3);
    table.initialized(Gpa{0x5000}, mrenclave);
    table.initialized(Gpa{0x9000}, mrenclave);  // nobody's

    ASSERT_EQ(listener.seen.size(), 2u);
    EXPECT_EQ(listener.seen[0].initialized, 0u);
    EXPECT_EQ(listener.seen[1].initialized, 1u);
    EXPECT_EQ(listener.seen[1].number, 1u);
    EXPECT_EQ(listener.seen[1].secs, 0x5000u);
    EXPECT_EQ(listener.seen[1].base, base.raw());
    EXPECT_EQ(listener.seen[1].size, size);
    EXPECT_EQ(std::memcmp(listener.seen[1].mrenclave.data(), mrenclave, 32), 0);
    EXPECT_EQ(number(1).enclave, listener.seen[1]);
}

TEST_F(Enclaves, ExitsAreCountedByReasonAndKind) {
    table.created(Gpa{0x5000}, base, size, cr3);
    exits(0x5000, BasicReason::ept_misconfiguration, ExitKind::enclave, Action::guarded);
    exits(0x5000, BasicReason::ept_violation, ExitKind::delivery);
    exits(0x5000, BasicReason::ept_violation);
    exits(0, BasicReason::external_interrupt);
    exits(0x6000, BasicReason::external_interrupt);

    const EnclaveCounters& counters = number(1).counters;
    EXPECT_EQ(counters.exits, 3u);
    EXPECT_EQ(counters.guard_hits, 1u);
    EXPECT_EQ(counters.by_reason[48][0], 1u);
    EXPECT_EQ(counters.by_reason[48][1], 1u);
    EXPECT_EQ(counters.by_reason[49][0], 1u);
    EXPECT_EQ(table.unknown().exits, 2u);
    EXPECT_EQ(table.unknown().by_reason[1][0], 2u);
}

TEST_F(Enclaves, TheOldestMakesRoomAndItsExitsStayInTheSum) {
    for (u64 i = 0; i < EnclaveTable::limit; ++i)
        table.created(Gpa{0x10'0000 + i * page_size}, base + i * size, size, cr3);
    exits(0x10'0000, BasicReason::external_interrupt);
    exits(0x10'1000, BasicReason::ept_violation);
    exits(0x10'1000, BasicReason::ept_violation);
    EXPECT_EQ(table.retired().exits, 0u);

    table.created(Gpa{0x90'0000}, base, size, cr3 + 0x8000);
    EXPECT_EQ(table.entries().size(), EnclaveTable::limit);
    EXPECT_EQ(whose(base.raw(), cr3), 0u);
    EXPECT_EQ(table.retired().exits, 1u);
    EXPECT_EQ(table.retired().by_reason[1][0], 1u);

    // One whose SECS page is another's goes before older ones that live.
    exits(0x10'5000, BasicReason::rdtsc);
    table.created(Gpa{0x10'5000}, base, size, cr3 + 0xc000);
    EXPECT_EQ(table.retired().by_reason[16][0], 1u);
    EXPECT_EQ(table.retired().exits, 2u);
    EXPECT_EQ(whose((base + size).raw(), cr3), 0x10'1000u);
    EXPECT_EQ(whose((base + 5 * size).raw(), cr3), 0u);

    table.created(Gpa{0x91'0000}, base, size, cr3 + 0x1'0000);
    EXPECT_EQ(table.retired().exits, 4u);
    EXPECT_EQ(whose((base + size).raw(), cr3), 0u);
}

TEST_F(Enclaves, AreKeptByASnapshot) {
    table.created(Gpa{0x5000}, base, size, cr3);
    exits(0x5000, BasicReason::ept_violation);
    const auto saved = std::make_unique<EnclaveTable::State>(table.state());
    Listener other;
    const auto again = std::make_unique<EnclaveTable>(other);
    again->restore(*saved);
    ASSERT_NE(again->find(base.raw(), cr3), nullptr);
    EXPECT_EQ(again->find(base.raw(), cr3)->counters.exits, 1u);
    EXPECT_TRUE(other.seen.empty());
}

/// The fake processor's TCS and the address space that its guest starts in.
struct EnclaveOfAGuest : testing::Test {
    void SetUp() override {
        machine.vm.enclaves().created(epc_base, Gva{tcs & ~(size - 1)}, size, 0x1000);
    }
    [[nodiscard]] const EnclaveCounters& counters() {
        return machine.vm.enclaves().entries()[0].counters;
    }
    Machine machine;
};

TEST_F(EnclaveOfAGuest, IsNamedByTheRecordOfItsExit) {
    machine.enclave_exits(BasicReason::ept_violation, {.gpa = Gpa{0x5000}});
    EXPECT_EQ(machine.record().secs, epc_base.raw());
    EXPECT_EQ(counters().by_reason[48][0], 1u);
}

TEST_F(EnclaveOfAGuest, HasItsGuardHitsCounted) {
    machine.enclave_exits(BasicReason::ept_misconfiguration, {.gpa = doorbell});
    EXPECT_EQ(machine.record().action, Action::guarded);
    EXPECT_EQ(counters().guard_hits, 1u);
}

TEST_F(EnclaveOfAGuest, IsNotNamedByAnotherExit) {
    machine.normal_exit(BasicReason::external_interrupt);
    EXPECT_EQ(machine.record().secs, 0u);
    EXPECT_EQ(counters().exits, 0u);
}

TEST_F(EnclaveOfAGuest, IsNotMeantInAnotherAddressSpace) {
    machine.processor.vmwrite(VmcsField::guest_cr3, 0x8000);
    machine.enclave_exits(BasicReason::ept_violation, {.gpa = Gpa{0x5000}});
    EXPECT_EQ(machine.record().secs, 0u);
    EXPECT_EQ(counters().exits, 0u);
    EXPECT_EQ(machine.vm.enclaves().unknown().exits, 1u);
}

}  // namespace
}  // namespace postern::hv::test
