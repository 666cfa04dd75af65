// SPDX-License-Identifier: Apache-2.0
// Whole PCs that are saved, loaded and run on.
#include <gtest/gtest.h>

#include "unit/platform/running_computer.h"
#include "unit/platform/virtio_driver.h"

namespace postern::platform {
namespace {

using test::RunningComputer;

constexpr u64 whole_run = 30'000;

TEST(ComputerSnapshot, APcRunsOnAsIfItHadNeverBeenSaved) {
    RunningComputer straight;
    ASSERT_EQ(straight.computer->run_until(whole_run).stop, ComputerStop::time);
    const std::string end = straight.digest();
    ASSERT_GT(straight.serial.text().size(), 100u);
    for (const u64 when : {u64{5}, u64{1000}, u64{4321}, u64{17'000}}) {
        RunningComputer first;
        ASSERT_EQ(first.computer->run_until(when).stop, ComputerStop::time);
        const snapshot::Bytes file = snapshot_bytes(first.subject());
        RunningComputer second;
        ASSERT_TRUE(load_snapshot(second.subject(), file, "file").has_value());
        EXPECT_EQ(second.digest(), first.digest());
        EXPECT_EQ(second.computer->now(), when);
        ASSERT_EQ(second.computer->run_until(whole_run).stop, ComputerStop::time);
        EXPECT_EQ(second.digest(), end) << "saved at " << when;
        EXPECT_EQ(first.serial.text() + second.serial.text(), straight.serial.text());
    }
}

TEST(ComputerSnapshot, AnotherNumberOfProcessorsIsNamed) {
    RunningComputer two;
    RunningComputer one{1};
    const auto loaded = load_snapshot(one.subject(), snapshot_bytes(two.subject()), "file");
    ASSERT_FALSE(loaded.has_value());
    EXPECT_EQ(loaded.error().what, "a snapshot of a machine with --cpus 2, and this one has 1");
}

TEST(ComputerSnapshot, AnSgxSeedThatWasNotGivenIsTheSnapshots) {
    RunningComputer first{1, nullptr, 7};
    RunningComputer second{1};
    EXPECT_EQ(second.computer->machine().system().sgx_seed, 1u);
    ASSERT_TRUE(load_snapshot(second.subject(), snapshot_bytes(first.subject()), "file"));
    EXPECT_EQ(second.computer->machine().system().sgx_seed, 7u);
    EXPECT_EQ(second.digest(), first.digest());
}

TEST(ComputerSnapshot, AnSgxSeedThatWasGivenMustBeTheSnapshots) {
    RunningComputer first{1, nullptr, 7};
    RunningComputer same{1, nullptr, 7};
    EXPECT_TRUE(load_snapshot(same.subject(), snapshot_bytes(first.subject()), "file"));
    RunningComputer other{1, nullptr, 1};
    const auto loaded = load_snapshot(other.subject(), snapshot_bytes(first.subject()), "file");
    ASSERT_FALSE(loaded.has_value());
    EXPECT_EQ(loaded.error().what, "a snapshot of a machine with --sgx-seed 7, and this one has 1");
    EXPECT_EQ(other.computer->machine().system().sgx_seed, 1u);
}

TEST(ComputerSnapshot, ADriveIsInItsSlotAndItsRegistersAreSaved) {
    const test::DiskFile file{8};
    const auto disk = Disk::open(file.path);
    ASSERT_TRUE(disk.has_value());
    RunningComputer first{1, disk->get()};
    Bus& bus = first.computer->machine().bus();
    bus.out(PciHost::address_port, 4, 0x8000'0800);
    EXPECT_EQ(bus.in(PciHost::data_port, 4), 0x1042'1af4u);
    bus.out(PciHost::address_port, 4, 0x8000'0804);
    bus.out(PciHost::data_port, 2, 2);
    const u64 registers = PciHost::memory_window.first;
    bus.write(Hpa{registers + 20}, 1, 3);  // ACKNOWLEDGE, DRIVER
    EXPECT_EQ(bus.read(Hpa{registers + VirtioPci::device_offset}, 4), 8u);

    const snapshot::Bytes saved = snapshot_bytes(first.subject());
    RunningComputer second{1, disk->get()};
    ASSERT_TRUE(load_snapshot(second.subject(), saved, "file").has_value());
    EXPECT_EQ(second.computer->machine().bus().read(Hpa{registers + 20}, 1), 3u);
    RunningComputer without{1};
    EXPECT_FALSE(load_snapshot(without.subject(), saved, "file").has_value());
}

TEST(ComputerSnapshot, ATurnOfAProcessorThatIsNotThereIsImplausible) {
    RunningComputer pc;
    Computer::State state = pc.computer->state();
    state.turn = 1;
    EXPECT_TRUE(pc.computer->plausible(state));
    state.turn = 2;
    EXPECT_FALSE(pc.computer->plausible(state));
    state.turn = 1;
    state.now = Computer::never;
    EXPECT_FALSE(pc.computer->plausible(state));
}

TEST(ComputerSnapshot, StatesThatLeadADeviceAstrayAreImplausible) {
    RunningComputer pc;
    const PcDevices::State good = pc.computer->devices().state();
    EXPECT_TRUE(PcDevices::plausible(good));
    PcDevices::State bad = good;
    bad.rtc.index = 128;
    EXPECT_FALSE(PcDevices::plausible(bad));
    bad = good;
    bad.serial.fifo_count = 17;
    EXPECT_FALSE(PcDevices::plausible(bad));
    bad = good;
    bad.pit.channels[1].start = 0;
    bad.pit.channels[1].count = 0;
    EXPECT_FALSE(PcDevices::plausible(bad));
}

}  // namespace
}  // namespace postern::platform
