// SPDX-License-Identifier: Apache-2.0
// The states a virtual processor begins in: what a boot loader leaves, what RESET, INIT and a
// start-up IPI leave.
#pragma once

#include <array>

#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"
#include "arch/regs/dr6.h"
#include "arch/regs/dr7.h"
#include "arch/regs/efer.h"
#include "arch/regs/rflags.h"
#include "arch/regs/segment.h"
#include "hv/config.h"

namespace postern::hv {

/// Everything that a mode is made of, as software sees it: bits that VMX operation fixes are
/// added by whoever writes it into a VMCS.
struct GuestState {
    std::array<u64, gpr_count> gpr{};
    u64 rip = 0;
    u64 rflags = rflags_fixed_one;
    u64 cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0, efer = 0;
    u64 dr6 = dr6_reset, dr7 = dr7_reset;
    std::array<Segment, segment_count> segment{};
    u64 gdtr_base = 0, idtr_base = 0;
    u16 gdtr_limit = 0, idtr_limit = 0;

    friend constexpr bool operator==(const GuestState&, const GuestState&) = default;
};

namespace start_rights {
inline constexpr u32 code_64 = 0xa09b;  // DPL 0, present, accessed, execute/read
inline constexpr u32 code_32 = 0xc09b;
inline constexpr u32 flat_data = 0xc093;  // read/write, 4 GiB
inline constexpr u32 code_16 = 0x9b;
inline constexpr u32 data_16 = 0x93;
inline constexpr u32 ldt = 0x82;
inline constexpr u32 busy_tss = 0x8b;  // not of 16 bits: IA-32e mode has no such TSS
}  // namespace start_rights

constexpr Segment real_mode_segment(u16 selector, u32 rights) {
    return {selector, 0, rights, 0xffff, 0, u64{selector} << 4};
}

/// Flat segments, or those of real mode. SDM 3A, "Processor Modes" of "System Architecture".
constexpr GuestState state_of(const StartState& start) {
    const bool is_real = start.mode == StartMode::real_16;
    const bool is_64 = start.mode == StartMode::long_64;
    const u32 code = is_64 ? start_rights::code_64 : start_rights::code_32;
    GuestState state;
    state.gpr = start.gpr;
    state.rip = start.rip;
    state.rflags = start.rflags | rflags_fixed_one;
    state.cr0 = start.cr0 | Cr0Word{Cr0::et}.to_raw();
    if (!is_real) state.cr0 |= Cr0Word{Cr0::pe, Cr0::ne}.to_raw();
    if (is_64) state.cr0 |= Cr0Word{Cr0::pg}.to_raw();
    state.cr3 = start.cr3;
    state.cr4 = start.cr4 | Cr4Word{}.with(Cr4::pae, is_64).to_raw();
    state.efer = start.efer;
    if (is_64) state.efer |= EferWord{Efer::lme, Efer::lma}.to_raw();
    for (Segment& segment : state.segment)
        segment = is_real ? real_mode_segment(start.data_selector, start_rights::data_16)
                          : Segment{start.data_selector, 0, start_rights::flat_data, ~0u, 0, 0};
    state.segment[cs] = is_real ? real_mode_segment(start.code_selector, start_rights::code_16)
                                : Segment{start.code_selector, 0, code, ~0u, 0, 0};
    state.segment[ldtr] = {0, 0, access_rights_unusable, 0xffff, 0, 0};
    state.segment[tr] = {start.tr_selector, 0, start_rights::busy_tss, 0xffff, 0, 0};
    state.gdtr_base = start.gdtr_base;
    state.gdtr_limit = start.gdtr_limit;
    state.idtr_base = start.idtr_base;
    state.idtr_limit = start.idtr_limit;
    return state;
}

/// `signature`: EAX of CPUID leaf 1. SDM 3A, "Processor State After Reset".
constexpr GuestState state_after_reset(u32 signature) {
    GuestState state;
    state.gpr[rdx] = signature;
    state.rip = 0xfff0;
    state.cr0 = cr0_reset;
    for (Segment& segment : state.segment) segment = real_mode_segment(0, start_rights::data_16);
    state.segment[cs] = {0xf000, 0, start_rights::code_16, 0xffff, 0, 0xffff'0000};
    state.segment[ldtr] = real_mode_segment(0, start_rights::ldt);
    state.segment[tr] = real_mode_segment(0, start_rights::busy_tss);
    state.gdtr_limit = state.idtr_limit = 0xffff;
    return state;
}

/// INIT leaves CR0.CD and CR0.NW as they were. SDM 3A, "Processor State After Reset".
constexpr GuestState state_after_init(u32 signature, u64 cr0_before) {
    constexpr u64 cache_bits = Cr0Word{Cr0::cd, Cr0::nw}.to_raw();
    GuestState state = state_after_reset(signature);
    state.cr0 = (state.cr0 & ~cache_bits) | (cr0_before & cache_bits);
    return state;
}

/// SDM 3A, "Typical BSP Initialization Sequence": the vector is the page of the first instruction.
constexpr Segment start_up_code(u8 vector) {
    return real_mode_segment(static_cast<u16>(vector << 8), start_rights::code_16);
}

}  // namespace postern::hv
