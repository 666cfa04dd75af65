// SPDX-License-Identifier: Apache-2.0
// virtio-console with rings made by hand.
#include "platform/device/virtio_console.h"

#include <gtest/gtest.h>

#include "cpu/model.h"
#include "unit/platform/virtio_driver.h"

namespace postern::platform {
namespace {

constexpr u64 rings = 0x1'0000, ring_distance = 0x1'0000, data = 0x8000;
constexpr u16 queue_size = 8;
constexpr u8 needs_reset = 0x40;

class ConsoleDriver : public ::testing::Test {
protected:
    ConsoleDriver()
        : machine{
              std::move(*Machine::create(layout_of(2 * mib, 64 * kib), &cpu::default_model()))} {
        host.add(console);
    }
    template <class T>
    T& at(u64 physical) const {
        return *reinterpret_cast<T*>(machine->ram() + physical);
    }
    void write(u64 offset, unsigned size, u64 value) { console.bar_write(0, offset, size, value); }
    [[nodiscard]] u8 status() { return static_cast<u8>(console.bar_read(0, 20, 1)); }
    static u64 available(unsigned queue) { return rings + ring_distance * queue + 0x1000; }
    static u64 used(unsigned queue) { return rings + ring_distance * queue + 0x2000; }

    void start() {
        console.config_write(4, 2, 6);
        write(20, 1, 0);
        write(20, 1, 3);
        write(8, 4, 1);
        write(12, 4, 1);
        write(20, 1, 11);
        for (unsigned queue = 0; queue < 2; ++queue) {
            write(22, 2, queue);
            write(24, 2, queue_size);
            write(32, 8, rings + ring_distance * queue);
            write(40, 8, available(queue));
            write(48, 8, used(queue));
            write(28, 2, 1);
        }
        write(20, 1, 15);
    }
    /// Descriptor n of the queue, alone, is made available; told: the device is.
    void offer(unsigned queue, u16 n, const test::Descriptor& descriptor, bool told = true) {
        at<test::Descriptor>(rings + ring_distance * queue + 16 * u64{n}) = descriptor;
        u16& index = at<u16>(available(queue) + 2);
        at<u16>(available(queue) + 4 + 2 * (index % queue_size)) = n;
        ++index;
        if (told) write(VirtioPci::notify_offset, 2, queue);
    }
    void type(std::string_view text) {
        for (const char c : text) console.receive(static_cast<u8>(c));
    }
    [[nodiscard]] std::string memory(u64 address, size_t size) const {
        return {reinterpret_cast<const char*>(machine->ram()) + address, size};
    }

    std::unique_ptr<Machine> machine;
    test::Lines lines;
    PciHost host{lines};
    StringSink sink;
    VirtioConsole console{sink, Dma{machine->system()}};
};

TEST_F(ConsoleDriver, ItIsAConsoleOfTwoQueues) {
    EXPECT_EQ(console.config_read(0, 4), 0x1043'1af4u);
    EXPECT_EQ(console.config_read(8, 4), 0x0780'0001u);
    EXPECT_EQ(console.bar_read(0, 18, 2), 2u);
    EXPECT_EQ(console.bar_read(0, 4, 4), 1u << 28) << "neither size nor ports are offered";
}

TEST_F(ConsoleDriver, WhatTheGuestWritesComesOut) {
    start();
    at<std::array<char, 5>>(data) = {'h', 'e', 'l', 'l', 'o'};
    offer(1, 0, {data, 5, 0, 0});
    EXPECT_EQ(sink.text(), "hello");
    EXPECT_EQ(at<u16>(used(1) + 2), 1u);
    EXPECT_EQ(at<u32>(used(1) + 8), 0u) << "the device has written nothing";
    EXPECT_TRUE(lines.levels[PciHost::line_of(1)]);
}

TEST_F(ConsoleDriver, WhatIsTypedWaitsForTheGuestsBuffers) {
    type("early");
    start();
    EXPECT_EQ(console.room(), VirtioConsole::input_most - 5);
    offer(0, 3, {data, 3, 2, 0});
    EXPECT_EQ(memory(data, 3), "ear");
    EXPECT_EQ(at<u32>(used(0) + 4), 3u);
    EXPECT_EQ(at<u32>(used(0) + 8), 3u);
    offer(0, 4, {data + 16, 64, 2, 0});
    EXPECT_EQ(memory(data + 16, 2), "ly");
    EXPECT_EQ(at<u32>(used(0) + 16), 2u) << "a buffer is not waited for until it is full";
    offer(0, 5, {data + 32, 64, 2, 0});
    EXPECT_EQ(at<u16>(used(0) + 2), 2u);
    type("x");
    EXPECT_EQ(at<u16>(used(0) + 2), 3u);
    EXPECT_EQ(memory(data + 32, 1), "x");
}

TEST_F(ConsoleDriver, MoreThanItHoldsIsLostAndTheRestStaysInOrder) {
    std::string text;
    for (unsigned n = 0; n < 300; ++n) text.push_back(static_cast<char>('a' + n % 26));
    start();
    type(text);
    EXPECT_EQ(console.room(), 0u);
    offer(0, 0, {data, 100, 2, 0});
    type(text.substr(0, 50));  // around the end of what holds it
    offer(0, 1, {data + 100, 1000, 2, 0});
    EXPECT_EQ(memory(data, 306), text.substr(0, 256) + text.substr(0, 50));
    EXPECT_EQ(at<u32>(used(0) + 16), 206u);
}

TEST_F(ConsoleDriver, ABufferThatCannotTakeInputAsksForAReset) {
    start();
    offer(0, 0, {data, 8, 0, 0});  // readable only
    EXPECT_EQ(status() & needs_reset, 0);
    type("x");
    EXPECT_EQ(status() & needs_reset, needs_reset);
    EXPECT_EQ(console.room(), VirtioConsole::input_most - 1) << "the byte is still there";
    type("y");
    at<u32>(available(0)) = 0;
    start();
    offer(0, 0, {data, 8, 2, 0});
    EXPECT_EQ(memory(data, 2), "xy");
}

TEST_F(ConsoleDriver, OutputFromTheEpcAsksForAReset) {
    start();
    offer(1, 0, {machine->layout().epc_base, 8, 0, 0});
    EXPECT_EQ(status() & needs_reset, needs_reset);
    EXPECT_EQ(sink.text(), "");
}

TEST_F(ConsoleDriver, SavedWithInputItGoesOn) {
    start();
    type("kept");
    const VirtioConsole::State saved = console.state();
    EXPECT_TRUE(VirtioConsole::plausible(saved));
    StringSink other;
    VirtioConsole second{other, Dma{machine->system()}};
    second.restore(saved);
    offer(0, 0, {data, 64, 2, 0}, false);
    second.bar_write(0, VirtioPci::notify_offset, 2, 0);
    EXPECT_EQ(memory(data, 4), "kept");
    VirtioConsole::State bad = saved;
    bad.input_first = VirtioConsole::input_most;
    EXPECT_FALSE(VirtioConsole::plausible(bad));
    bad = saved;
    bad.input_count = VirtioConsole::input_most + 1;
    EXPECT_FALSE(VirtioConsole::plausible(bad));
    bad = saved;
    bad.virtio.queues[1].size = 0;
    EXPECT_FALSE(VirtioConsole::plausible(bad));
}

}  // namespace
}  // namespace postern::platform
