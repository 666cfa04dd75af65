// SPDX-License-Identifier: Apache-2.0
// A machine with a small disk, and the other side of its virtqueue, made by hand.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "cpu/model.h"
#include "platform/device/virtio_blk.h"
#include "platform/machine.h"

namespace postern::test {

struct Lines final : platform::InterruptLines {
    void set(unsigned line, bool level) override { levels.at(line) = level; }
    std::array<bool, 24> levels{};
};

class DiskFile {
public:
    explicit DiskFile(size_t sectors) {
        std::string pattern = (std::filesystem::temp_directory_path() / "disk.XXXXXX").string();
        const int file = mkstemp(pattern.data());
        if (file >= 0) close(file);
        path = pattern;
        std::ofstream out{path, std::ios::binary};
        for (size_t n = 0; n < sectors * 512; ++n) out.put(static_cast<char>(n / 512 + n % 7));
    }
    ~DiskFile() { std::filesystem::remove(path); }
    DiskFile(const DiskFile&) = delete;
    DiskFile& operator=(const DiskFile&) = delete;
    [[nodiscard]] u8 byte(size_t at) const {
        std::ifstream in{path, std::ios::binary};
        in.seekg(static_cast<std::streamoff>(at));
        return static_cast<u8>(in.get());
    }
    std::string path;
};

struct Descriptor {
    u64 address;
    u32 size;
    u16 flags;  // 1 next, 2 the device writes, 4 indirect
    u16 next;
};

class VirtioDriver {
public:
    static constexpr u64 descriptors = 0x1000, available = 0x2000, used = 0x3000, data = 0x8000;
    static constexpr u16 queue_size = 8;
    static constexpr size_t sectors = 64;

    VirtioDriver() {
        auto made = platform::Machine::create(
            platform::layout_of(2 * platform::mib, 64 * platform::kib), &cpu::default_model());
        machine = std::move(*made);
        auto opened = platform::Disk::open(file.path);
        disk = std::move(*opened);
        blk = std::make_unique<platform::VirtioBlk>(*disk, platform::Dma{machine->system()});
        slot = host.add(*blk);
    }

    template <class T>
    T& at(u64 physical) const {
        return *reinterpret_cast<T*>(machine->ram() + physical);
    }
    [[nodiscard]] u64 read(u64 offset, unsigned size) const {
        return blk->bar_read(0, offset, size);
    }
    void write(u64 offset, unsigned size, u64 value) const {
        blk->bar_write(0, offset, size, value);
    }
    [[nodiscard]] u8 status() const { return static_cast<u8>(read(20, 1)); }
    [[nodiscard]] bool interrupt() const {
        return lines.levels[platform::PciHost::line_of(static_cast<unsigned>(slot))];
    }

    /// As a driver begins: bus mastering, VERSION_1, one queue, DRIVER_OK.
    void start() const {
        blk->config_write(4, 2, 6);
        write(20, 1, 0);
        write(20, 1, 3);
        write(8, 4, 1);
        write(12, 4, 1);
        write(20, 1, 11);
        write(24, 2, queue_size);
        write(32, 8, descriptors);
        write(40, 4, available);
        write(44, 4, 0);
        write(48, 8, used);
        write(28, 2, 1);
        write(20, 1, 15);
    }
    /// One chain of the descriptors 0, 1, ... is made available and the device told.
    void request(const std::vector<Descriptor>& chain) const {
        for (size_t n = 0; n < chain.size(); ++n) at<Descriptor>(descriptors + 16 * n) = chain[n];
        u16& index = at<u16>(available + 2);
        at<u16>(available + 4 + 2 * (index % queue_size)) = 0;
        ++index;
        write(platform::VirtioPci::notify_offset, 2, 0);
    }
    /// Header at `data`, data at data + 0x1000, status at data + 0x100.
    void transfer(u32 type, u64 sector, u32 bytes) const {
        at<u32>(data) = type;
        at<u64>(data + 8) = sector;
        at<u8>(data + 0x100) = 0xee;
        const u16 direction = type == 1 ? 0 : 2;
        if (bytes == 0)
            request({{data, 16, 1, 1}, {data + 0x100, 1, 2, 0}});
        else
            request({{data, 16, 1, 1},
                     {data + 0x1000, bytes, static_cast<u16>(direction | 1), 2},
                     {data + 0x100, 1, 2, 0}});
    }
    [[nodiscard]] u8 result() const { return at<u8>(data + 0x100); }

    DiskFile file{sectors};
    std::unique_ptr<platform::Machine> machine;
    std::unique_ptr<platform::Disk> disk;
    Lines lines;
    platform::PciHost host{lines};
    std::unique_ptr<platform::VirtioBlk> blk;
    int slot = 0;
};

}  // namespace postern::test
