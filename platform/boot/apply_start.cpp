// SPDX-License-Identifier: Apache-2.0
// The step that a boot loader's last instructions would do.
#include "platform/boot/apply_start.h"

#include "cpu/flags.h"
#include "cpu/mmu/access.h"

namespace postern::platform {

namespace {

// Access rights of flat segments of ring 0, accessed.
constexpr u32 code_rights_64 = 0xa09b;
constexpr u32 code_rights_32 = 0xc09b;
constexpr u32 data_rights = 0xc093;
constexpr u32 busy_tss_rights = 0x008b;

constexpr Cr0Word cr0_protected{Cr0::pe, Cr0::et, Cr0::ne};

void apply_segments(cpu::Cpu& c, const StartState& start, u32 code_rights) {
    for (Segment& segment : c.segment)
        segment = {start.data_selector, 0, data_rights, ~u32{0}, 0, 0};
    c.segment[cs] = {start.code_selector, 0, code_rights, ~u32{0}, 0, 0};
    c.segment[tr] = {0, 0, busy_tss_rights, tss64::size - 1, 0, 0};
    c.segment[ldtr] = {0, 0, access_rights_unusable, 0, 0, 0};
    c.gdtr = {start.gdt_base, start.gdt_limit};
    c.idtr = {0, 0};
}

}  // namespace

void apply_start(cpu::Cpu& c, const StartState& start) {
    const bool is_64 = start.mode == StartMode::long_64;
    c.cr0 = cr0_protected.with(Cr0::pg, is_64);
    c.cr3 = start.cr3;
    c.cr4 = Cr4Word{}.with(Cr4::pae, is_64);
    c.efer = EferWord{}.with(Efer::lme, is_64).with(Efer::lma, is_64);
    apply_segments(c, start, is_64 ? code_rights_64 : code_rights_32);
    c.gpr.fill(0);
    c.gpr[rax] = start.rax;
    c.gpr[rsi] = start.rsi;
    c.gpr[rbx] = start.rbx;
    c.rip = c.next_rip = start.rip;
    c.cpl = 0;
    cpu::set_rflags(c, 0);
    c.event.activity = ActivityState::active;
    c.code_page = cpu::no_code_page;
    cpu::flush_translations(c);
}

}  // namespace postern::platform
