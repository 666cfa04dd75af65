// SPDX-License-Identifier: Apache-2.0
// An enclave's thread: the checks before it runs, and what entry and exit do alike. SDM 3D,
// "EENTER", "ERESUME", "EEXIT", Operation.
#include "cpu/sgx/thread.h"

#include "cpu/event/controls.h"
#include "cpu/exec/address.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"
#include "cpu/sgx/capability.h"
#include "cpu/sgx/extended_state.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"
#include "cpu/sgx/own_page.h"

namespace postern::cpu::sgx {
namespace {

/// Without AEX-Notify bit 1 is reserved too.
TcsFlags supported_tcs_flags(const Cpu& c) {
    return TcsFlags{TcsFlag::dbgoptin}.with(TcsFlag::aexnotify, has(c, Feature::sgx_edeccssa));
}

/// SDM 3D, "ERESUME", Operation: only a debugger may have them differ.
bool agree_on_notification(const Tcs& tcs, SgxAttributeFlags attributes) {
    return tcs.flags.has(TcsFlag::dbgoptin) ||
           tcs.flags.has(TcsFlag::aexnotify) == attributes.has(SgxAttribute::aexnotify);
}

constexpr u16 enclave_segment_selector = 0x0b;

/// One page of an SSA frame, as an offset into the EPC.
Result<u64> frame_page(Cpu& c, const Thread& thread, u64 linear) {
    const u64 offset = TRY(epc_operand(c, linear, Access::write));
    const EpcmEntry& entry = c.system->epc->entries[offset / page_size];
    if (!is_own_page(thread.secs_page, entry, linear) || !entry.r || !entry.w)
        return raise_epc_fault(c, linear, Access::write);
    return offset;
}

/// An address computed for the enclave: of 32 bits outside 64-bit mode.
u64 mode_address(const Cpu& c, u64 sum) { return in_64_bit_mode(c) ? sum : static_cast<u32>(sum); }

/// What a 32-bit enclave wants of the segments it will run with: flat, of 32 bits, and DS not
/// expanding downwards. SDM 3D, "EENTER", Operation.
bool has_flat_segments(const Cpu& c) {
    const Segment &data = c.segment[ds], &stack = c.segment[ss], &extra = c.segment[es];
    if (data.unusable() || data.expand_down()) return false;
    if (c.segment[cs].base != 0 || data.base != 0) return false;
    if (!extra.unusable() && extra.base != 0) return false;
    return stack.unusable() || (stack.base == 0 && stack.db());
}

/// A segment that wraps around needs a DS without holes. SDM 3D, "EENTER", Operation.
bool lies_within(const Segment& data, u64 base, u32 limit) {
    const auto first = static_cast<u32>(base);
    const u32 last = first + limit;
    return last < first ? data.limit == 0xffff'ffff : last <= data.limit;
}

/// FS or GS inside the enclave. SDM 3D, "EENTER", Operation: type and attributes come from DS.
Segment enclave_segment(const Cpu& c, u64 base, u32 limit) {
    constexpr u32 taken_from_ds = 1u << 1 | 3u << 5 | 1u << 12 | 1u << 13;  // W, DPL, AVL, L
    constexpr u32 always = access_rights_accessed | 1u << 4 | access_rights_present | 1u << 14 |
                           1u << 15;  // S, P, B, G
    return {enclave_segment_selector,
            0,
            always | (c.segment[ds].access_rights & taken_from_ds),
            limit,
            0,
            base};
}

/// What an entry keeps for the way out, and what AEX will need.
Enclave describe(const Cpu& c, const Thread& thread) {
    const Epc& epc = *c.system->epc;
    const Secs& secs = epc.secs(thread.secs_page);
    const Tcs& tcs = epc.tcs(thread.tcs_page);
    Enclave e{};
    e.active = true;
    e.debug_opt_in = tcs.flags.has(TcsFlag::dbgoptin);
    e.outer_tf = c.flags.has(Rflag::tf);
    e.mode64 = secs.attributes.flags.has(SgxAttribute::mode64bit);
    e.secs_page = static_cast<u32>(thread.secs_page);
    e.tcs_page = static_cast<u32>(thread.tcs_page);
    e.base = secs.baseaddr;
    e.size = secs.size;
    e.tcs_linear = c.gpr[rbx];
    e.aep = c.gpr[rcx];
    e.xfrm = secs.attributes.xfrm.to_raw();
    e.misc_select = secs.miscselect.to_raw();
    e.ssa_frame_pages = secs.ssaframesize;
    use_frame(e, thread);
    e.outer_xcr0 = c.xcr0;
    e.outer_fs = c.segment[fs];
    e.outer_gs = c.segment[gs];
    return e;
}

/// What MONITOR or UMONITOR armed does not last into an enclave or out of it. SDM 3D, "Interactions
/// with MONITOR/MWAIT".
void disarm_monitor(Cpu& c) {
    if (c.monitor.waiting) c.event.activity = ActivityState::active;
    c.monitor = {};
}

void mask_pending_traps(Cpu& c) {
    c.event.trap_pending = false;
    c.event.mtf_pending = false;
    c.event.pending_debug = 0;
    c.event.trap_inhibited = true;
}

}  // namespace

Result<> find_thread(Cpu& c, EncluLeaf leaf, Thread& thread) {
    if (!in_64_bit_mode(c) && !has_flat_segments(c)) return general_protection(c);
    const u64 linear = c.gpr[rbx];
    TRY(require_alignment(c, page_size, linear));
    thread.tcs_page = TRY(epc_operand(c, linear, Access::write)) / page_size;
    if (in_64_bit_mode(c) && !is_canonical(c, c.gpr[rcx])) return general_protection(c);
    if (meets_conflict(c, leaf)) return general_protection(c);
    const Epc& epc = *c.system->epc;
    const EpcmEntry& entry = epc.entries[thread.tcs_page];
    const bool usable = entry.valid && !entry.blocked && entry.enclave_address == linear &&
                        entry.page_type == PageType::tcs && !entry.pending && !entry.modified;
    if (!usable) return raise_epc_fault(c, linear, Access::write);
    thread.secs_page = entry.enclave_secs;
    const Tcs& tcs = epc.tcs(thread.tcs_page);
    return require_alignment(c, page_size, tcs.ossa, tcs.ofsbase, tcs.ogsbase);
}

Result<> check_enclave(Cpu& c, const Thread& thread) {
    const Epc& epc = *c.system->epc;
    const Tcs& tcs = epc.tcs(thread.tcs_page);
    const SgxAttributes attributes = epc.secs(thread.secs_page).attributes;
    if (!supported_tcs_flags(c).has_all(tcs.flags)) return general_protection(c);
    if (!attributes.flags.has(SgxAttribute::init)) return general_protection(c);
    if (attributes.flags.has(SgxAttribute::mode64bit) != in_64_bit_mode(c))
        return general_protection(c);
    if (!c.cr4.has(Cr4::osfxsr)) return general_protection(c);
    const auto enabled =
        c.cr4.has(Cr4::osxsave) ? Xcr0Word::from_raw(c.xcr0) : Xcr0Word{Xcr0::x87, Xcr0::sse};
    if (!enabled.has_all(attributes.xfrm)) return general_protection(c);
    if (!agree_on_notification(tcs, attributes.flags)) return general_protection(c);
    return Done{};
}

Result<> cache_frame(Cpu& c, Thread& thread, u32 index) {
    const Epc& epc = *c.system->epc;
    const Secs& secs = epc.secs(thread.secs_page);
    const u64 frame_size = secs.ssaframesize * page_size;
    const u64 frame =
        mode_address(c, secs.baseaddr + epc.tcs(thread.tcs_page).ossa + frame_size * index);
    const u64 area = xsave_area_size(secs.attributes.xfrm);
    // extended_state.h writes through one pointer.
    static_assert(xsave_area_size(supported_xfrm) <= page_size);
    for (u64 page = 0; page * page_size < area; ++page)
        thread.ssa_xsave[page] = TRY(frame_page(c, thread, frame + page * page_size));
    const u64 last = frame + frame_size - page_size;
    // Where the frame is one page, that has been found already.
    const u64 last_page = last == frame ? thread.ssa_xsave[0] : TRY(frame_page(c, thread, last));
    thread.ssa_gpr = last_page + gprsgx_offset(page_size);
    if (!in_64_bit_mode(c) && last + page_size - 1 > c.segment[ds].limit)
        return general_protection(c);
    return Done{};
}

void use_frame(Enclave& e, const Thread& thread) {
    e.ssa_gpr = thread.ssa_gpr;
    e.ssa_misc = thread.ssa_gpr - sizeof(Exinfo);
    std::copy(std::begin(thread.ssa_xsave), std::end(thread.ssa_xsave), e.ssa_xsave);
}

Start entry_point(const Cpu& c, const Thread& thread) {
    const Epc& epc = *c.system->epc;
    const Tcs& tcs = epc.tcs(thread.tcs_page);
    const u64 base = epc.secs(thread.secs_page).baseaddr;
    return {mode_address(c, base + tcs.oentry), mode_address(c, base + tcs.ofsbase),
            mode_address(c, base + tcs.ogsbase), !tcs.flags.has(TcsFlag::dbgoptin)};
}

Result<> check_segments(Cpu& c, const Thread& thread, const Start& start) {
    const Tcs& tcs = c.system->epc->tcs(thread.tcs_page);
    const Segment& data = c.segment[ds];
    const bool legal = in_64_bit_mode(c)
                           ? is_canonical(c, start.fs_base) && is_canonical(c, start.gs_base)
                           : lies_within(data, start.fs_base, tcs.fslimit) &&
                                 lies_within(data, start.gs_base, tcs.gslimit);
    if (!legal) return general_protection(c);
    return Done{};
}

Result<> check_target(Cpu& c, u64 target) {
    const bool legal = in_64_bit_mode(c) ? is_canonical(c, target) : target <= c.segment[cs].limit;
    if (!legal) return general_protection(c);
    return Done{};
}

Result<> check_idle(Cpu& c, const Thread& thread) {
    if (c.system->epc->tcs(thread.tcs_page).state == TcsState::active) return general_protection(c);
    return Done{};
}

void enter_at_entry_point(Cpu& c, const Thread& thread, const Start& start) {
    Epc& epc = *c.system->epc;
    about_to_write_page(c, thread.ssa_gpr / page_size);
    auto& gprsgx = epc.at<Gprsgx>(thread.ssa_gpr);
    gprsgx.ursp = mode_address(c, c.gpr[rsp]);
    gprsgx.urbp = mode_address(c, c.gpr[rbp]);
    const u64 return_address = mode_address(c, c.next_rip);
    enter(c, thread, start);
    c.gpr[rax] = epc.tcs(thread.tcs_page).cssa;
    c.gpr[rcx] = return_address;
}

void enter(Cpu& c, const Thread& thread, const Start& start) {
    const Epc& epc = *c.system->epc;
    Tcs& tcs = epc.tcs(thread.tcs_page);
    c.enclave = describe(c, thread);
    tcs.aep = c.enclave.aep;
    tcs.state = TcsState::active;
    SecsHidden& hidden = epc.hidden(thread.secs_page);
    ++hidden.active_threads;
    c.enclave.entry_epoch = entered(hidden.tracking);
    if (c.cr4.has(Cr4::osxsave)) c.xcr0 = c.enclave.xfrm;
    load_segments(c, enclave_segment(c, start.fs_base, tcs.fslimit),
                  enclave_segment(c, start.gs_base, tcs.gslimit));
    if (!c.enclave.debug_opt_in) c.flags.set(Rflag::tf, false);
    if (start.masks_traps) mask_pending_traps(c);
    c.next_rip = start.target;
    disarm_monitor(c);
    flush_translations(c);
}

void leave(Cpu& c) {
    const Enclave e = c.enclave;
    const Epc& epc = *c.system->epc;
    epc.tcs(e.tcs_page).state = TcsState::inactive;
    SecsHidden& hidden = epc.hidden(e.secs_page);
    --hidden.active_threads;
    left(hidden.tracking, e.entry_epoch);
    load_segments(c, e.outer_fs, e.outer_gs);
    if (c.cr4.has(Cr4::osxsave)) c.xcr0 = e.outer_xcr0;
    if (!e.debug_opt_in) c.flags.set(Rflag::tf, e.outer_tf);
    c.enclave = {};
    if (wants(c, PrimaryControl::monitor_trap_flag)) c.event.mtf_pending = true;
    disarm_monitor(c);
    flush_translations(c);
}

void load_segments(Cpu& c, const Segment& new_fs, const Segment& new_gs) {
    c.segment[fs] = new_fs;
    c.segment[gs] = new_gs;
    c.gpr[row_fs_base] = new_fs.base;
    c.gpr[row_gs_base] = new_gs.base;
}

}  // namespace postern::cpu::sgx
