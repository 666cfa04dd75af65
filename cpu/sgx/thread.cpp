// SPDX-License-Identifier: Apache-2.0
// An enclave's thread: the checks before it runs, and what entry and exit do alike. SDM 3D,
// "EENTER", "ERESUME", "EEXIT", Operation.
#include "cpu/sgx/thread.h"

#include "cpu/event/controls.h"
#include "cpu/exec/address.h"
#include "cpu/mmu/access.h"
#include "cpu/sgx/extended_state.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"

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
    const bool usable = entry.valid && !entry.blocked && !entry.pending && !entry.modified &&
                        entry.enclave_address == linear && entry.page_type == PageType::reg &&
                        entry.enclave_secs == thread.secs_page && entry.r && entry.w;
    if (!usable) return raise_epc_fault(c, linear, Access::write);
    return offset;
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

void mask_pending_traps(Cpu& c) {
    c.event.trap_pending = false;
    c.event.mtf_pending = false;
    c.event.pending_debug = 0;
    c.event.trap_inhibited = true;
}

}  // namespace

Result<> find_thread(Cpu& c, EncluLeaf leaf, Thread& thread) {
    const u64 linear = c.gpr[rbx];
    TRY(require_alignment(c, page_size, linear));
    thread.tcs_page = TRY(epc_operand(c, linear, Access::write)) / page_size;
    if (!is_canonical(c, c.gpr[rcx])) return general_protection(c);
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
    if (attributes.flags.has(SgxAttribute::mode64bit) != in_64bit_mode(c))
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
    const u64 frame = secs.baseaddr + epc.tcs(thread.tcs_page).ossa + frame_size * index;
    const u64 area = xsave_area_size(secs.attributes.xfrm);
    static_assert(xsave_area_size({Xcr0::x87, Xcr0::sse, Xcr0::avx}) <= page_size);
    for (u64 page = 0; page * page_size < area; ++page)
        thread.ssa_xsave[page] = TRY(frame_page(c, thread, frame + page * page_size));
    const u64 last = frame + frame_size - page_size;
    thread.ssa_gpr = TRY(frame_page(c, thread, last)) + gprsgx_offset(page_size);
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
    return {base + tcs.oentry, base + tcs.ofsbase, base + tcs.ogsbase,
            !tcs.flags.has(TcsFlag::dbgoptin)};
}

Result<> check_start(Cpu& c, const Thread& thread, const Start& start) {
    if (!is_canonical(c, start.target)) return general_protection(c);
    if (!is_canonical(c, start.fs_base) || !is_canonical(c, start.gs_base))
        return general_protection(c);
    if (c.system->epc->tcs(thread.tcs_page).state == TcsState::active) return general_protection(c);
    return Done{};
}

void enter_at_entry_point(Cpu& c, const Thread& thread, const Start& start) {
    Epc& epc = *c.system->epc;
    about_to_write_page(c, thread.ssa_gpr / page_size);
    auto& gprsgx = epc.at<Gprsgx>(thread.ssa_gpr);
    gprsgx.ursp = c.gpr[rsp];
    gprsgx.urbp = c.gpr[rbp];
    const u64 return_address = c.next_rip;
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
    flush_translations(c);
}

void load_segments(Cpu& c, const Segment& new_fs, const Segment& new_gs) {
    c.segment[fs] = new_fs;
    c.segment[gs] = new_gs;
    c.gpr[row_fs_base] = new_fs.base;
    c.gpr[row_gs_base] = new_gs.base;
}

}  // namespace postern::cpu::sgx
