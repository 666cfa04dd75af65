// SPDX-License-Identifier: Apache-2.0
// Any bytes as a hostile driver of a virtio disk and console: writes to their registers and MSI-X
// tables, descriptors, rings and buffers anywhere. The devices answer or ask for a reset; nothing
// but RAM, the disk's sectors and the console's output changes, and a reset brings each back.
// iterations: 100000
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "cpu/model.h"
#include "platform/device/virtio_blk.h"
#include "platform/device/virtio_console.h"
#include "platform/machine.h"

namespace {

using namespace postern;
using namespace postern::platform;

constexpr u64 memory_size = 2 * mib;
constexpr u64 disk_size = 32 * Disk::sector_size;
constexpr u64 queue_distance = 0x1'0000;
constexpr u8 needs_reset = 0x40;

void require(bool right) {
    if (!right) std::abort();
}

std::unique_ptr<Disk> make_disk() {
    std::string path = "/tmp/fuzz-virtio.XXXXXX";
    const int file = mkstemp(path.data());
    require(file >= 0 && ftruncate(file, disk_size) == 0 && close(file) == 0);
    auto disk = Disk::open(path);
    unlink(path.c_str());
    require(disk.has_value());
    return std::move(*disk);
}

/// Counts, so that endless output does not take memory.
struct CountingSink final : Sink {
    void put(u8) override { ++count; }
    u64 count = 0;
};

struct Lines final : InterruptLines {
    void set(unsigned, bool) override {}
};

struct Setting {
    std::unique_ptr<Machine> machine =
        std::move(*Machine::create(layout_of(memory_size, 64 * kib), &cpu::default_model()));
    std::unique_ptr<Disk> disk = make_disk();
    CountingSink sink;
    Lines lines;
    PciHost host{lines};
    VirtioBlk blk{*disk, Dma{machine->system()}};
    VirtioConsole console{sink, Dma{machine->system()}};
    Setting() {
        require(host.add(blk) >= 0);
        require(host.add(console) >= 0);
    }
};

/// The input, byte after byte; zeros follow it.
class Script {
public:
    Script(const u8* bytes, size_t size) : bytes_{bytes}, left_{size} {}
    [[nodiscard]] bool over() const { return left_ == 0; }
    template <class T>
    T take() {
        T value{};
        const size_t count = std::min(sizeof value, left_);
        if (count != 0) std::memcpy(&value, bytes_, count);
        bytes_ += count;
        left_ -= count;
        return value;
    }
    /// Mostly in RAM; its edges, the EPC and anywhere else too.
    u64 address(const Machine& machine) {
        const auto kind = take<u8>();
        const auto word = take<u16>();
        switch (kind % 16) {
            case 0: return memory_size - word % 64;
            case 1: return machine.layout().epc_base - 32 + word % 64;
            case 2: return take<u64>();
            case 3: return ~u64{0} - word % 64;
            default: return word * u64{8};
        }
    }

private:
    const u8* bytes_;
    size_t left_;
};

void begin(VirtioPci& device) {
    device.config_write(4, 2, 6);
    device.bar_write(0, 20, 1, 0);
    device.bar_write(0, 20, 1, 3);
    device.bar_write(0, 8, 4, 0);
    device.bar_write(0, 12, 4, 1u << 28);
    device.bar_write(0, 8, 4, 1);
    device.bar_write(0, 12, 4, 1);
    device.bar_write(0, 20, 1, 11);
    for (unsigned queue = 0; queue < VirtioPci::queues_most; ++queue) {
        const u64 rings = queue_distance * (1 + queue);
        device.bar_write(0, 22, 2, queue);
        device.bar_write(0, 24, 2, 8);
        device.bar_write(0, 32, 8, rings);
        device.bar_write(0, 40, 8, rings + 0x1000);
        device.bar_write(0, 48, 8, rings + 0x2000);
        device.bar_write(0, 28, 2, 1);
    }
    device.bar_write(0, 20, 1, 15);
    require(device.bar_read(0, 20, 1) == 15);
}

void describe(Setting& s, Script& script, unsigned queue) {
    struct {
        u64 address;
        u32 size;
        u16 flags;
        u16 next;
    } descriptor{};
    const auto where = script.take<u8>();
    descriptor.address = script.address(*s.machine);
    descriptor.size = (where & 0x80) != 0 ? script.take<u32>() : script.take<u8>() * 16u;
    descriptor.flags = script.take<u8>() % 8;
    descriptor.next = script.take<u8>() % 10;
    // The queue's own table, or where indirect ones may be.
    const u64 table = (where & 0x40) != 0 ? 0 : queue_distance * (1 + queue);
    std::memcpy(s.machine->ram() + table + where % 16 * 16u, &descriptor, sizeof descriptor);
}

/// One to eight chains are made available, and the device is told.
void offer(Setting& s, Script& script, VirtioPci& device, unsigned queue) {
    u8* const ring = s.machine->ram() + queue_distance * (1 + queue) + 0x1000;
    u16 index = 0;
    std::memcpy(&index, ring + 2, 2);
    for (auto left = script.take<u8>() % 8 + 1; left != 0; --left, ++index) {
        const u16 head = script.take<u8>() % 9;
        std::memcpy(ring + 4 + index % 8 * 2, &head, 2);
    }
    std::memcpy(ring + 2, &index, 2);
    device.bar_write(0, VirtioPci::notify_offset, 2, queue);
}

void act(Setting& s, Script& script) {
    const auto what = script.take<u8>();
    const bool on_disk = (what & 0x80) != 0;
    VirtioPci& device = on_disk ? static_cast<VirtioPci&>(s.blk) : s.console;
    const unsigned queue = on_disk ? 0 : what >> 6 & 1;
    const unsigned size = 1u << (what >> 4 & 3);
    switch (what % 16) {
        case 0:
            device.bar_write(0, script.take<u16>() % VirtioPci::bar_size, size, script.take<u64>());
            break;
        case 1: device.bar_write(0, script.take<u8>() % 64, size, script.take<u64>()); break;
        case 2:
            device.bar_write(1, script.take<u8>() % 64, size, script.address(*s.machine));
            break;
        case 3: device.config_write(script.take<u8>(), 1 + size % 4, script.take<u32>()); break;
        case 4: s.console.receive(script.take<u8>()); break;
        case 5: begin(device); break;
        case 6: s.machine->ram()[script.take<u16>()] = script.take<u8>(); break;
        case 7:
            static_cast<void>(device.bar_read(what & 1, script.take<u16>() % 0x4000, size));
            break;
        case 8:
        case 9:
        case 10:
        case 11: offer(s, script, device, queue); break;
        default: describe(s, script, queue); break;
    }
}

/// Whatever was done to it, a device that is reset and set up anew serves an empty queue.
void comes_back(Setting& s, VirtioPci& device) {
    std::memset(s.machine->ram(), 0, 4 * queue_distance);
    begin(device);
    for (unsigned queue = 0; queue < 2; ++queue)
        device.bar_write(0, VirtioPci::notify_offset, 2, queue);
    require((device.bar_read(0, 20, 1) & needs_reset) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Setting s;
    begin(s.blk);
    begin(s.console);
    for (Script script{data, size}; !script.over();) act(s, script);
    const cpu::Epc& epc = *s.machine->epc();
    for (u64 n = 0; n < epc.size; n += 64) require(epc.bytes[n] == 0);
    require(VirtioPci::plausible(s.blk.state()));
    require(VirtioConsole::plausible(s.console.state()));
    comes_back(s, s.blk);
    comes_back(s, s.console);
    return 0;
}
