// SPDX-License-Identifier: Apache-2.0
// A PC of two processors, the second of which waits for its INIT and SIPI, in the middle of the
// work of running_machine.h.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "cpu/model.h"
#include "platform/computer.h"
#include "platform/snapshot/snapshot.h"
#include "unit/platform/elf_image.h"
#include "unit/platform/running_machine.h"

namespace postern::test {

/// One segment at 1 MiB: code, the timer's handler, the IDT.
inline std::vector<u8> busy_kernel() {
    constexpr u64 base = 0x10'0000, code = 0x10, handler = 0x800, idt = 0x1000,
                  file_offset = 0x1000;
    constexpr u8 prologue[] = {
        0x0f, 0x01, 0x1c, 0x25, 0x00, 0x00, 0x10, 0x00,  // lidt [0x100000]
        0xbc, 0x00, 0x00, 0x07, 0x00,                    // mov esp, 0x70000
        0x0f, 0x20, 0xe0,                                // mov rax, cr4
        0x0d, 0x00, 0x06, 0x00, 0x00,                    // or eax, 0x600: OSFXSR, OSXMMEXCPT
        0x0f, 0x22, 0xe0,                                // mov cr4, rax
        0x31, 0xc0,                                      // xor eax, eax
    };
    ElfFile file;
    file.entry(base + code);
    file.add({1, file_offset, base, 0x2000, 0x2000});
    const auto place = [&](u64 at, std::span<const u8> bytes) {
        for (const u8 byte : bytes) file.put(file_offset + at++, byte, 1);
    };
    file.put(file_offset + 0, 0xfff, 2);
    file.put(file_offset + 2, base + idt, 8);
    place(code, prologue);
    place(code + sizeof prologue, busy_code);
    place(handler, timer_handler);
    constexpr u64 timer = 0x40, gate = 0x8e00, selector = 0x08, at = base + handler;
    file.put(file_offset + idt + 16 * timer,
             (at & 0xffff) | selector << 16 | gate << 32 | (at >> 16) << 48, 8);
    file.put(file_offset + 0x1fff, 0, 1);
    return file.bytes;
}

class RunningComputer {
public:
    explicit RunningComputer(unsigned processors = 2, const platform::Disk* drive = nullptr,
                             std::optional<u64> sgx_seed = {}) {
        platform::ComputerConfig config;
        config.layout = platform::layout_of(8 * platform::mib, 64 * platform::kib);
        config.model = &cpu::default_model();
        config.processors = processors;
        config.drive = drive;
        config.sgx_seed = sgx_seed;
        config.kernel.name = "busy";
        config.kernel.file = busy_kernel();
        config.boot = platform::BootWay::elf;
        auto made = platform::Computer::create(std::move(config), {serial, debug, {}});
        if (!made) {
            std::fprintf(stderr, "%s: %s\n", made.error().where.c_str(), made.error().what.c_str());
            std::abort();
        }
        computer = std::move(*made);
    }

    [[nodiscard]] platform::SnapshotSubject subject() { return platform::subject_of(*computer); }
    [[nodiscard]] std::string digest() { return platform::state_digest(subject()); }

    platform::StringSink serial, debug;
    std::unique_ptr<platform::Computer> computer;
};

}  // namespace postern::test
