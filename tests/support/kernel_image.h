// SPDX-License-Identifier: Apache-2.0
// The memory of a small 64-bit kernel at 1 MiB whose handlers only step over faults: flat segments
// for CPL 0 and 3, a TSS, and an IDT that leads every vector to one of two handlers.
#pragma once

#include <cstring>
#include <span>
#include <vector>

#include "arch/exception.h"
#include "base/types.h"

namespace postern::test {

class KernelImage {
public:
    static constexpr u64 base = 0x10'0000;
    static constexpr u64 gdt = 0x10'1000, gdt_pointer = 0x10'1f00, idt_pointer = 0x10'1f10;
    static constexpr u64 idt = 0x10'2000, tss = 0x10'3000;

    /// Its code is at `base`, its memory ends at `end`.
    KernelImage(std::span<const u8> code, u64 end) : bytes_(end - base) {
        std::memcpy(bytes_.data(), code.data(), code.size());
    }

    void put(u64 address, u64 value, unsigned size) {
        std::memcpy(&bytes_[address - base], &value, size);
    }
    template <class T>
    void put(u64 address, const T& value) {
        std::memcpy(&bytes_[address - base], &value, sizeof value);
    }
    [[nodiscard]] const std::vector<u8>& bytes() const { return bytes_; }

    struct Stacks {
        u64 rsp0, ist1;
    };
    /// `more`: descriptors from selector 38H on.
    void write_segments(const Stacks& stacks, std::span<const u64> more = {}) {
        constexpr u64 flat[] = {
            0,
            0x00af'9b00'0000'ffff,  // 08: code, 64-bit, DPL 0
            0x00cf'9300'0000'ffff,  // 10: data, DPL 0
            0x00cf'f300'0000'ffff,  // 18: data, DPL 3
            0x00af'fb00'0000'ffff,  // 20: code, 64-bit, DPL 3
            0x0000'8900'0000'0067 | (tss & 0xffff) << 16 | (tss >> 16 & 0xff) << 32,
            0,  // 28: TSS
        };
        u64 at = gdt;
        for (const std::span<const u64> part : {std::span<const u64>{flat}, more})
            for (const u64 descriptor : part) {
                put(at, descriptor, 8);
                at += 8;
            }
        put(gdt_pointer, at - gdt - 1, 2);
        put(gdt_pointer + 2, gdt, 8);
        put(tss + 4, stacks.rsp0, 8);
        put(tss + 0x24, stacks.ist1, 8);
        put(tss + 0x66, 0x68, 2);  // no I/O bitmap
    }

    /// On IST1. `with_code`: of vectors that push an error code.
    void write_gates(u64 handler, u64 with_code) {
        put(idt_pointer, 256 * 16 - 1, 2);
        put(idt_pointer + 2, idt, 8);
        for (unsigned vector = 0; vector < 256; ++vector) {
            const bool has_code = vector < 32 && has_error_code(static_cast<Vector>(vector));
            const u64 target = has_code ? with_code : handler;
            // Of those with an error code, INT would push none: DPL 0.
            const u64 rights = has_code ? 0x8e01 : 0xee01;
            put(idt + 16 * vector,
                (target & 0xffff) | 0x08 << 16 | rights << 32 | (target >> 16 & 0xffff) << 48, 8);
            put(idt + 16 * vector + 8, target >> 32, 8);
        }
    }

private:
    std::vector<u8> bytes_;
};

}  // namespace postern::test
