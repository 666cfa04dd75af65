// SPDX-License-Identifier: Apache-2.0
// The rules that the fuzzer of hosted guests relies on: they hold of a guest that has run an
// enclave, and each says so when it alone is broken.
#include "support/hosted_invariants.h"

#include <gtest/gtest.h>

#include <cstring>

#include "arch/apic.h"
#include "arch/vmx/ept.h"
#include "cpu/model.h"
#include "support/hosted_kernel.h"

namespace postern::host::test {
namespace {

namespace hosted = postern::test::hosted;

class Silent final : public hv::Watcher {
public:
    void exit(const hv::ExitRecord&) override {}
    void anomaly(hv::Anomaly, const hv::ExitRecord&) override {}
    void stopped(const hv::StopReport&) override {}
};

class HostedInvariants : public ::testing::Test {
protected:
    void SetUp() override {
        GuestConfig config;
        config.layout = hosted::layout();
        config.model = &cpu::default_model();
        config.kernel.name = "test";
        // CPUID, and a store to the data page.
        const hosted::Slot slot{.code = {0x0f, 0xa2, 0xa3, 0, 0, 0x30, 0, 0, 0, 0, 0}};
        config.kernel.file = hosted::make_kernel({.slots = {slot}});
        auto made = Guest::create(std::move(config), {nowhere, nowhere, silent, [](u32) {}});
        ASSERT_TRUE(made.has_value()) << made.error().what;
        guest = std::move(*made);
        watch.emplace(*guest);
        ASSERT_EQ(guest->run({1'000'000, 0}).ending, Ending::exit_port);
        ASSERT_FALSE(watch->look()) << watch->look().rule;
        ASSERT_FALSE(ept_maps_only_the_guest(*guest)) << ept_maps_only_the_guest(*guest).rule;
    }

    u8* bytes(u64 physical) { return guest->machine().ram() + physical; }
    u64& word(u64 physical) { return *reinterpret_cast<u64*>(bytes(physical)); }

    /// The entry that maps `gpa`, or the table entry of `level` on its way.
    u64& ept_entry(u64 gpa, unsigned wanted = 0) {
        u64 table = ept_tables(*guest).front();
        for (unsigned level = 4;; --level) {
            u64& entry = word(table + 8 * (gpa >> page_shift(level) & 511));
            const auto view = EptEntry::from_raw(entry);
            if (level == wanted || view.is_leaf(level)) return entry;
            table = view.address(level);
        }
    }
    u64 pool() { return guest->vm().config().pool.base.raw(); }

    platform::NullSink nowhere;
    Silent silent;
    std::unique_ptr<Guest> guest;
    std::optional<ReserveWatch> watch;
};

TEST_F(HostedInvariants, AByteOfTheMsrBitmapIsMissed) {
    const u64 bitmap = guest->port().vmread(VmcsField::msr_bitmap);
    *bytes(bitmap + 0x123) ^= 1;
    EXPECT_EQ(watch->look().value, bitmap);
}

TEST_F(HostedInvariants, AByteBesideThePoolIsMissed) {
    *bytes(0x123) = 1;
    EXPECT_TRUE(watch->look());
}

TEST_F(HostedInvariants, AByteOfAPageThatNobodyHasTakenIsMissed) {
    const hv::PagePool& config = guest->vm().config().pool;
    const u64 last = config.base.raw() + u64{config.pages - 1} * page_size;
    *bytes(last + 4095) = 1;
    EXPECT_EQ(watch->look().value, last);
}

TEST_F(HostedInvariants, ATableOfEptMayChangeButNotWhereItLeads) {
    u64& entry = ept_entry(hosted::at::data);
    entry = EptEntry::from_raw(entry).with(EptBit::write, false).to_raw();
    EXPECT_FALSE(watch->look());
    EXPECT_FALSE(ept_maps_only_the_guest(*guest));
}

TEST_F(HostedInvariants, ALeafThatLeadsElsewhereIsFound) {
    ept_entry(hosted::at::data) += 2 * platform::mib;
    EXPECT_EQ(ept_maps_only_the_guest(*guest).rule, "EPT maps memory to its own place");
}

TEST_F(HostedInvariants, ALeafIntoTheHypervisorsPagesIsFound) {
    u64& entry = ept_entry(hosted::at::data);
    entry &= ~bit_mask(51, 21);
    EXPECT_EQ(ept_maps_only_the_guest(*guest).rule, "EPT maps memory to its own place");
}

TEST_F(HostedInvariants, ALeafWhereTheGuestHasNoMemoryIsFound) {
    const u64 nowhere_at = hosted::at::memory;
    ept_entry(nowhere_at, 2) = ept_entry(hosted::at::data, 2) | 0x80;
    EXPECT_EQ(ept_maps_only_the_guest(*guest).rule, "EPT maps only what is memory of the guest's");
}

TEST_F(HostedInvariants, ATableOutsideThePoolIsFound) {
    u64& entry = ept_entry(0, 4);
    entry = EptEntry::table(0x1000, EptFlags::from_raw(ept_rwx)).to_raw();
    ASSERT_LT(u64{0x1000}, pool());
    EXPECT_EQ(ept_maps_only_the_guest(*guest).rule, "a table of EPT lies in the pool");
}

TEST_F(HostedInvariants, AVectorOfTheVirtualApicThatNobodyKnowsOfIsFound) {
    ASSERT_FALSE(apic_is_as_kept(*guest, 0));
    const u64 page = guest->vcpu().apic().state().page;
    const auto rule = [&](u32 index) {
        word(page + u64{index} * 16) ^= 2;
        const std::string broken = apic_is_as_kept(*guest, 0).rule;
        word(page + u64{index} * 16) ^= 2;
        return broken;
    };
    EXPECT_EQ(rule(apic::reg_requested + 2), "the request in front is known");
    EXPECT_EQ(rule(apic::reg_in_service + 2), "the interrupt in service is known");
}

TEST(WrongEnd, AStopThatIsOursIsWrongWhoeverRan) {
    for (const hv::StopReason reason :
         {hv::StopReason::entry_failed, hv::StopReason::vmfail, hv::StopReason::delivery_failed,
          hv::StopReason::out_of_table_pages, hv::StopReason::no_instruction_length}) {
        RunResult result;
        result.ending = Ending::stopped;
        result.stop.reason = reason;
        EXPECT_TRUE(wrong_end(result, false));
    }
}

TEST(WrongEnd, AKernelMayEndItsGuestAndAProgramMayNot) {
    RunResult result;
    result.ending = Ending::stopped;
    result.stop.reason = hv::StopReason::triple_fault;
    EXPECT_FALSE(wrong_end(result, false));
    EXPECT_TRUE(wrong_end(result, true));
    result.ending = Ending::halted;
    EXPECT_FALSE(wrong_end(result, false));
    EXPECT_TRUE(wrong_end(result, true));
    result.ending = Ending::exit_port;
    EXPECT_FALSE(wrong_end(result, true));
}

TEST(WrongEnd, AProcessorThatGivesUpForNoNamedReasonIsWrong) {
    RunResult result;
    result.ending = Ending::processor;
    result.what = "VMX abort 1";
    EXPECT_TRUE(wrong_end(result, false));
    result.what = "not implemented: something";
    EXPECT_FALSE(wrong_end(result, false));
    EXPECT_TRUE(wrong_end(result, true));
}

}  // namespace
}  // namespace postern::host::test
