// SPDX-License-Identifier: Apache-2.0
// A guest that is a hypervisor (L1) and runs enclaves in its own guest (L2): what its host takes
// from it, and what a snapshot brings back, make no difference to what L1 sees.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "arch/vmx/exit_reason.h"
#include "arch/vmx/interruption_information.h"
#include "cpu/model.h"
#include "host/guest.h"

namespace postern::host {
namespace {

constexpr u64 end_of_time = 400'000'000;

std::vector<u8> blue_pill() {
    std::ifstream file{POSTERN_BLUE_PILL, std::ios::binary};
    EXPECT_TRUE(file) << POSTERN_BLUE_PILL;
    return {std::istreambuf_iterator<char>{file}, {}};
}

class Recorded final : public hv::Watcher {
public:
    void exit(const hv::ExitRecord& record) override { exits.push_back(record); }
    void anomaly(hv::Anomaly anomaly, const hv::ExitRecord&) override {
        anomalies.push_back(anomaly);
    }
    void stopped(const hv::StopReport&) override {}

    std::vector<hv::ExitRecord> exits;
    std::vector<hv::Anomaly> anomalies;
};

/// A page that L1 has asked its host to take back, and how many exits there had been.
struct Taken {
    u64 page = 0;
    size_t exits = 0;
};

/// No rows: no kernel, a snapshot follows.
struct Nested {
    explicit Nested(const std::string& rows, bool takes_pages = true, hv::SgxMasks sgx = {},
                    hv::Protections protections = hv::all_protections) {
        GuestConfig config;
        config.protections = protections;
        config.layout = platform::layout_of(16 * platform::mib, 2 * platform::mib);
        config.model = &cpu::default_model();
        config.nested = true;
        config.sgx = sgx;
        config.kernel.name = "blue_pill";
        config.kernel.command_line = "row=" + rows;
        if (!rows.empty()) config.kernel.file = blue_pill();
        const auto on_mark = [this, takes_pages](u32 value) {
            if (value >= first_mark) return;
            taken.push_back({u64{value} * page_size, recorded.exits.size()});
            if (takes_pages) guest->vm().forget(Gpa{taken.back().page});
        };
        auto made = Guest::create(std::move(config), {serial, debug, recorded, on_mark});
        EXPECT_TRUE(made.has_value());
        guest = std::move(*made);
    }
    static constexpr u32 first_mark = 0xf000'0000;

    void run_to_the_end() {
        const auto result = guest->run_until(end_of_time);
        ASSERT_TRUE(result.has_value()) << serial.text();
        EXPECT_EQ(exit_status(*result), 1) << serial.text();
        EXPECT_TRUE(says("@done=1"));
        EXPECT_TRUE(recorded.anomalies.empty());
    }
    [[nodiscard]] bool says(const std::string& line) const {
        return ("\n" + serial.text()).find("\n" + line + "\n") != std::string::npos;
    }
    /// Exits from the enclave because of a page that was taken.
    [[nodiscard]] size_t exits_for(const Taken& what) const {
        const auto first = recorded.exits.begin() + static_cast<std::ptrdiff_t>(what.exits);
        return static_cast<size_t>(
            std::count_if(first, recorded.exits.end(), [&](const hv::ExitRecord& exit) {
                const auto reason = ExitReason::from_vmcs(exit.raw_reason);
                return reason.from_enclave() && reason.basic() == BasicReason::ept_violation &&
                       exit.action == hv::Action::mapped &&
                       (exit.guest_physical & ~(page_size - 1)) == what.page;
            }));
    }

    platform::StringSink serial, debug;
    Recorded recorded;
    std::vector<Taken> taken;
    std::unique_ptr<Guest> guest;
};

const std::string digest = "7486da8f1e13943fae21a0b043f1e99640d7d8ebafb25266478b5cddae1272b5";

/// The row before has made L1's EPT a table of small pages there: the enclave itself is the first
/// to touch the page again.
constexpr std::array<const char*, 3> pages{"shared_page", "data_page", "delivery"};

TEST(BluePill, L1SeesNoExitOfAnEnclaveForAPageThatItsOwnHostTakes) {
    for (const std::string page : pages) {
        const std::string row = "host_" + page;
        Nested nested{page + "," + row};
        nested.run_to_the_end();
        EXPECT_TRUE(nested.says("@" + row + ".exits=0"));
        EXPECT_TRUE(nested.says("@" + row + ".outside_exits=0"));
        EXPECT_TRUE(nested.says("@" + row + ".digest=" + digest));
        ASSERT_GE(nested.taken.size(), 2u) << row;  // the last two for the enclave, and outside
        const Taken& taken = nested.taken[nested.taken.size() - 2];
        EXPECT_EQ(nested.exits_for(taken), 1u) << row;
    }
}

TEST(BluePill, WithoutAHostThatTakesThePageTheEnclaveDoesNotExitForIt) {
    for (const std::string page : pages) {
        Nested nested{page + ",host_" + page, false};
        nested.run_to_the_end();
        ASSERT_GE(nested.taken.size(), 2u) << page;
        const Taken& taken = nested.taken[nested.taken.size() - 2];
        EXPECT_EQ(nested.exits_for(taken), 0u) << page;
    }
}

/// L1's own violation comes first.
TEST(BluePill, AnEventOfTheEnclaveIsDeliveredOnceThoughBothHaveTakenItsStack) {
    Nested nested{"delivery"};
    nested.run_to_the_end();
    EXPECT_TRUE(nested.says("@delivery.exits=1"));
    EXPECT_TRUE(nested.says("@delivery.exit0.reason=8000030"));
    EXPECT_TRUE(nested.says("@delivery.exit0.vectoring=80000300"));
    EXPECT_TRUE(nested.says("@delivery.count=1"));
    EXPECT_TRUE(nested.says("@delivery.digest=" + digest));
}

/// In each row the enclave loads from the doorbell once, and ring 3 outside once.
TEST(BluePill, ADeviceThatL1LetsThroughIsTouchedFromOutsideTheEnclaveOnly) {
    Nested nested{"device_page,host_device,host_device_exit"};
    nested.run_to_the_end();
    const platform::Doorbell& doorbell = nested.guest->devices().doorbell;
    EXPECT_EQ(doorbell.count(), 3u);
    for (const auto& ring : doorbell.rings()) {
        EXPECT_EQ(ring.offset, 0x40u);
        EXPECT_EQ(ring.size, 4u);
        EXPECT_FALSE(ring.write);
    }
    for (const std::string row : {"device_page", "host_device", "host_device_exit"}) {
        EXPECT_TRUE(nested.says("@" + row + ".count=1"));
        EXPECT_TRUE(nested.says("@" + row + ".vector=6"));
    }
}

/// L1 has the device itself: of an enclave's access it makes one #UD, others it carries out.
TEST(BluePill, AnL1ThatEmulatesADeviceLeavesAnEnclaveAlone) {
    Nested nested{"emulated_device"};
    nested.run_to_the_end();
    const auto& rings = nested.guest->devices().doorbell.rings();
    ASSERT_EQ(rings.size(), 1u) << "that from outside";
    EXPECT_EQ(rings.front().offset, 0x40u);
    EXPECT_FALSE(rings.front().write);
    EXPECT_TRUE(nested.says("@emulated_device.exit0.reason=8000030"));
    EXPECT_TRUE(nested.says("@emulated_device.exit0.interruptibility=10"));
    EXPECT_TRUE(nested.says("@emulated_device.vector=6"));
    EXPECT_TRUE(nested.says("@emulated_device.digest=" + digest));
}

/// It carries out the store that lies at the AEP, at the offset that the exit does not have, and
/// ERESUME has the enclave load again.
TEST(BluePill, WithoutPassingOnAnL1EmulatesTheAepForTheEnclaveForEver) {
    constexpr auto protections = hv::all_protections.with(hv::Protection::pass_on, false);
    Nested nested{"emulated_device", true, {}, protections};
    EXPECT_EQ(exit_status(nested.guest->run({.instructions = end_of_time})), 11);
    EXPECT_TRUE(nested.says("@emulated_device.livelock=1")) << nested.serial.text();
    const platform::Doorbell& doorbell = nested.guest->devices().doorbell;
    EXPECT_GT(doorbell.count(), 9'000u) << "once for nearly each of the 10,000 times it is resumed";
    for (const auto& ring : doorbell.rings()) {
        EXPECT_EQ(ring.offset, 0u);
        EXPECT_EQ(ring.size, 8u);
        EXPECT_TRUE(ring.write);
    }
}

/// It steps over two bytes of what it takes for its guest's loop: in the AEP's store they leave ADD
/// AL, 24H, and ENCLU has no leaf 27H.
TEST(BluePill, WithoutPassingOnAnL1StepsIntoTheAepAndTheEnclaveIsLost) {
    constexpr auto protections = hv::all_protections.with(hv::Protection::pass_on, false);
    Nested nested{"timer", true, {}, protections};
    EXPECT_EQ(exit_status(nested.guest->run({.instructions = end_of_time})), 3);
    EXPECT_NE(nested.serial.text().find("timer: event 13 at"), std::string::npos);
    EXPECT_EQ(nested.serial.text().find("@timer."), std::string::npos) << "it has no result";
}

/// The processor itself has SGX both times. SDM 3C, "Checks on Guest Non-Register State".
TEST(BluePill, AnEntryWithInterruptibilityBit4IsCheckedAgainstTheCpuidOfL1) {
    Nested with_sgx{"enter_enclave"};
    with_sgx.run_to_the_end();
    EXPECT_TRUE(with_sgx.says("@enter_enclave.outside_exits=1"));
    EXPECT_TRUE(with_sgx.says("@enter_enclave.outside_exit0.reason=a"));
    Nested without{"enter_enclave", true, {.features = 0}};
    without.run_to_the_end();
    EXPECT_TRUE(without.says("@enter_enclave.outside_exits=2"));
    EXPECT_TRUE(without.says("@enter_enclave.outside_exit0.reason=80000021"));
    EXPECT_TRUE(without.says("@enter_enclave.outside_exit1.reason=a"));
}

/// What the processor's NMI, which is the host's, does to an enclave of L2 that is at work.
struct HostNmi {
    explicit HostNmi(const std::string& row) : nested{row} {
        Nested first{row};
        first.run_to_the_end();
        const auto of_enclave = [](const hv::ExitRecord& exit) {
            return ExitReason::from_vmcs(exit.raw_reason).from_enclave();
        };
        const auto last = std::find_if(first.recorded.exits.rbegin(), first.recorded.exits.rend(),
                                       [&](const auto& exit) { return of_enclave(exit); });
        EXPECT_NE(last, first.recorded.exits.rend());
        // It has not got far with its long digest by then.
        nested.guest->port().raise_nmi_at(last->tsc + 3000);
        nested.run_to_the_end();
        expected = without_resumes(first.serial.text());
        for (const hv::ExitRecord& exit : nested.recorded.exits)
            if (is_nmi(InterruptionInformation::from_raw(exit.interruption))) exits.push_back(exit);
    }
    static bool is_nmi(InterruptionInformation event) {
        return event.valid() && event.type() == InterruptionType::nmi;
    }
    static std::string without_resumes(const std::string& text) {
        std::string kept;
        std::istringstream lines{text};
        for (std::string line; std::getline(lines, line);)
            if (line.find(".resumes=") == std::string::npos) kept += line + '\n';
        return kept;
    }
    Nested nested;
    std::string expected;
    std::vector<hv::ExitRecord> exits;
};

/// SDM 3C, "Basic VM-Exit Information", "Information for VM Exits Due to Vectored Events", "Saving
/// Non-Register State".
TEST(BluePill, AnNmiOfTheHostTakesAnEnclaveOfL2OutAndIsNoneOfL1s) {
    for (const std::string row : {"timer", "nmi", "nmi_to_guest"}) {
        SCOPED_TRACE(row);
        const HostNmi nmi{row};
        ASSERT_EQ(nmi.exits.size(), 1u);
        const hv::ExitRecord& exit = nmi.exits.front();
        EXPECT_EQ(exit.raw_reason, 0x0800'0000u);
        EXPECT_EQ(exit.kind, hv::ExitKind::enclave);
        EXPECT_EQ(exit.action, hv::Action::retried);
        EXPECT_EQ(exit.interruption, 0x8000'0202u) << "bit 12 is clear: no IRET was interrupted";
        EXPECT_EQ(exit.interruptibility_before, 0x10u)
            << "bit 3 is clear: its NMIs are not blocked";
        EXPECT_EQ(exit.interruptibility_after, 0x10u);
        EXPECT_EQ(exit.rip_after, exit.rip_or_aep);
        EXPECT_EQ(HostNmi::without_resumes(nmi.nested.serial.text()), nmi.expected);
    }
}

/// L1 has NMI exiting on in the row, and sees one NMI, its own.
TEST(BluePill, AnNmiOfL1sIsAnExitOfTheEnclaveIfL1AsksForIt) {
    Nested nested{"nmi,nmi_to_guest"};
    nested.run_to_the_end();
    EXPECT_TRUE(nested.says("@nmi.exits=1"));
    EXPECT_TRUE(nested.says("@nmi.exit0.reason=8000000"));
    EXPECT_TRUE(nested.says("@nmi.exit0.interruption=80000202"));
    EXPECT_TRUE(nested.says("@nmi.exit0.interruptibility=10"));
    EXPECT_TRUE(nested.says("@nmi.nmis=0"));
    EXPECT_TRUE(nested.says("@nmi_to_guest.exits=0"));
    EXPECT_TRUE(nested.says("@nmi_to_guest.nmis=1"));
    for (const std::string row : {"nmi", "nmi_to_guest"})
        EXPECT_TRUE(nested.says("@" + row + ".digest=" + digest));
}

/// When an enclave was interrupted for L1: exits that are passed on, and the tick of the host's
/// that an interrupt for L1 comes with.
std::vector<u64> times_of_enclave_exits(const Recorded& recorded) {
    std::vector<u64> times;
    for (const hv::ExitRecord& exit : recorded.exits)
        if (exit.action != hv::Action::mapped &&
            ExitReason::from_vmcs(exit.raw_reason).from_enclave())
            times.push_back(exit.tsc);
    return times;
}

/// Around the exit: before it, with L1 about to see it, and with L1 in its handler.
TEST(BluePill, ASnapshotOfAnInterruptedEnclaveInL2ShowsL1TheSameTable) {
    const std::string rows = "data_page,delivery,timer,interrupt,nmi,rdrand,page_fault";
    Nested whole{rows};
    whole.run_to_the_end();
    const std::vector<u64> times = times_of_enclave_exits(whole.recorded);
    ASSERT_EQ(times.size(), 7u);
    for (const u64 time : times) {
        for (const u64 where : {time - 1, time, time + 1, time + 20}) {
            Nested saved{rows};
            EXPECT_FALSE(saved.guest->run_until(where));
            const platform::snapshot::Bytes bytes = snapshot_bytes(saved.guest->subject());
            Nested loaded{""};
            const auto fine = load_snapshot(loaded.guest->subject(), bytes, "memory");
            ASSERT_TRUE(fine.has_value()) << where << ": " << fine.error().what;
            EXPECT_EQ(loaded.guest->now(), where);
            loaded.run_to_the_end();
            EXPECT_EQ(saved.serial.text() + loaded.serial.text(), whole.serial.text()) << where;
            EXPECT_EQ(state_digest(loaded.guest->subject()), state_digest(whole.guest->subject()))
                << where;
        }
    }
}

}  // namespace
}  // namespace postern::host
