// SPDX-License-Identifier: Apache-2.0
#include "support/flat_program.h"

#include <cstring>

#include "arch/regs/segment.h"
#include "cpu/mmu/access.h"

namespace postern::platform {
namespace {

constexpr u64 gdt_at = 0x1000, code_at = 0x1'0000, stack_at = 0x8'0000;

Segment flat(u16 selector, u32 rights) {
    Segment segment{};
    segment.selector = selector;
    segment.access_rights = rights;
    segment.limit = 0xffff'ffff;
    return segment;
}

}  // namespace

void load_flat_program(Computer& computer, std::span<const u8> code) {
    u8* const ram = computer.machine().ram();
    std::memcpy(ram + code_at, code.data(), code.size());
    const Segment code32 = flat(0x08, 0xc09b), data32 = flat(0x10, 0xc093);
    const u64 gdt[] = {0, descriptor_from_segment(code32), descriptor_from_segment(data32)};
    std::memcpy(ram + gdt_at, gdt, sizeof gdt);
    cpu::Cpu& c = computer.processor(0);
    c.cr0.set(Cr0::pe, true);
    c.gdtr = {gdt_at, sizeof gdt - 1};
    c.segment[cs] = code32;
    for (const SegmentIndex n : {es, ss, ds, fs, gs}) c.segment[n] = data32;
    c.gpr[rsp] = stack_at;
    c.rip = code_at;
    cpu::flush_translations(c);
}

}  // namespace postern::platform
