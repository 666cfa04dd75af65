// SPDX-License-Identifier: Apache-2.0
// Which space is in use, and what is forgotten of which.
#include "cpu/mmu/space.h"

#include <algorithm>

#include "base/bits.h"
#include "cpu/cpu.h"
#include "cpu/mmu/access.h"

namespace postern::cpu {

const u64 space_cr0 = Cr0Word{Cr0::pe, Cr0::wp, Cr0::nw, Cr0::cd, Cr0::pg}.to_raw();
const u64 space_cr4 =
    Cr4Word{Cr4::pse, Cr4::pae, Cr4::pge, Cr4::la57, Cr4::pcide, Cr4::smep, Cr4::smap, Cr4::pke}
        .to_raw();
const u64 space_efer = EferWord{Efer::lme, Efer::lma, Efer::nxe}.to_raw();

namespace {

constexpr u64 pcid_bits = 0xfff;

u64 pcid_of(u64 cr4, u64 cr3) {
    return Cr4Word::from_raw(cr4).has(Cr4::pcide) ? cr3 & pcid_bits : 0;
}
u64 pcid_of(const SpaceTag& tag) { return pcid_of(tag.cr4, tag.cr3); }

SpaceTag tag_in_use(const Cpu& c) {
    return {.valid = true,
            .vpid = c.vmx.vpid,
            .pkru = c.cr4.has(Cr4::pke) ? c.pkru : 0,
            .ept_pointer = c.vmx.ept_pointer,
            .cr0 = c.cr0.to_raw() & space_cr0,
            .cr3 = c.cr3,
            .cr4 = c.cr4.to_raw() & space_cr4,
            .efer = c.efer.to_raw() & space_efer,
            .apic_access = c.vmx.apic_access};
}

bool is_same_space(const SpaceTag& a, const SpaceTag& b) {
    return a.valid && b.valid && a.vpid == b.vpid && a.pkru == b.pkru &&
           a.ept_pointer == b.ept_pointer && a.cr0 == b.cr0 && a.cr4 == b.cr4 && a.efer == b.efer &&
           a.apic_access == b.apic_access && pcid_of(a) == pcid_of(b);
}

/// The caches of one EPT: bits 51:12 of its pointer. SDM 3C, "Information That May Be Cached".
constexpr u64 ept_root(u64 ept_pointer) { return bits<51, 12>(ept_pointer); }

void note_forgetting(Cpu& c) {
    ++c.tlb_generation;
    c.code_page = no_code_page;
}

/// `action` on the arrays of the spaces whose tag `matches`.
template <class Match, class Action>
void for_each_array(Cpu& c, Match matches, Action action) {
    for (unsigned n = 0; n < tlb_spaces; ++n) {
        if (!c.spaces.tag[n].valid || !matches(c.spaces.tag[n])) continue;
        for (Tlb& tlb : c.translations[n].tlb)
            if (tlb.filled_count != 0) action(tlb);
    }
}

template <class Match, class Action>
void forget(Cpu& c, Match matches, Action action) {
    for_each_array(c, matches, action);
    note_forgetting(c);
}

/// All that these spaces hold; they are free for others then.
template <class Match>
void forget_spaces(Cpu& c, Match matches) {
    forget(c, matches, [](Tlb& tlb) { tlb.flush(); });
    for (SpaceTag& tag : c.spaces.tag)
        if (tag.valid && matches(tag)) tag.valid = false;
}

void keep_global(Tlb& tlb) { tlb.flush_unless(tlb_global); }

unsigned oldest_space(const SpaceTags& spaces) {
    unsigned oldest = 0;
    for (unsigned n = 1; n < tlb_spaces; ++n)
        if (spaces.chosen[n] < spaces.chosen[oldest]) oldest = n;
    return oldest;
}

/// A space without a tag, else the one that was left alone for the longest time.
unsigned free_space(Cpu& c) {
    unsigned n = 0;
    while (n < tlb_spaces && c.spaces.tag[n].valid) ++n;
    if (n == tlb_spaces) n = oldest_space(c.spaces);
    for (Tlb& tlb : c.translations[n].tlb) tlb.flush();
    return n;
}

unsigned space_for(Cpu& c, const SpaceTag& wanted) {
    for (unsigned n = 0; n < tlb_spaces; ++n) {
        const SpaceTag& tag = c.spaces.tag[n];
        if (!is_same_space(tag, wanted)) continue;
        if (tag.cr3 != wanted.cr3) {
            for (Tlb& tlb : c.translations[n].tlb) keep_global(tlb);
            note_forgetting(c);
        }
        return n;
    }
    return free_space(c);
}

TlbContext tlb_context(const Cpu& c) {
    if (checks_alignment(c)) return tlb_checked;
    if (c.enclave.active) return tlb_enclave;
    if (c.cpl == 3) return tlb_user;
    return c.flags.has(Rflag::ac) && c.cr4.has(Cr4::smap) ? tlb_supervisor_ac : tlb_supervisor;
}

}  // namespace

TlbSpace& prepared_space(Cpu& c, unsigned number) {
    TlbSpace& space = c.translations[number];
    if (!space.ready) {
        for (Tlb& tlb : space.tlb) tlb.reset();
        space.tlb[tlb_checked].checked = true;
        space.ready = true;
    }
    return space;
}

void reset_tlbs(Cpu& c) {
    for (TlbSpace& space : c.translations) {
        for (Tlb& tlb : space.tlb) tlb.filled_count = 0;
        space.ready = false;
    }
    c.tlbs = prepared_space(c, c.spaces.current).tlb.data();
    c.tlb = &c.tlbs[tlb_supervisor];
}

void select_space(Cpu& c) {
    const SpaceTag wanted = tag_in_use(c);
    SpaceTags& spaces = c.spaces;
    if (c.system != nullptr && c.system->engine.one_space)
        forget_spaces(c, [](const SpaceTag&) { return true; });
    const unsigned n = space_for(c, wanted);
    spaces.tag[n] = wanted;
    spaces.chosen[n] = ++spaces.choices;
    spaces.current = n;
    c.tlbs = prepared_space(c, n).tlb.data();
    select_tlb(c);
}

void select_tlb(Cpu& c) {
    Tlb* const selected = &c.tlbs[tlb_context(c)];
    if (c.tlb != selected) c.code_page = no_code_page;
    c.tlb = selected;
}

u64 pcid_in_use(const Cpu& c) { return pcid_of(c.cr4.to_raw(), c.cr3); }

void flush_translations(Cpu& c) {
    forget_spaces(c, [](const SpaceTag&) { return true; });
    select_space(c);
}

void flush_vpid(Cpu& c, u16 vpid) {
    forget_spaces(c, [&](const SpaceTag& tag) { return tag.vpid == vpid; });
    select_space(c);
}

void flush_vpid(Cpu& c) { flush_vpid(c, c.vmx.vpid); }

void flush_vpid_but_global(Cpu& c, u16 vpid) {
    forget(c, [&](const SpaceTag& tag) { return tag.vpid == vpid; }, keep_global);
}

void flush_but_global(Cpu& c) { flush_vpid_but_global(c, c.vmx.vpid); }

void flush_vpid_page(Cpu& c, u16 vpid, Gva linear) {
    forget(
        c, [&](const SpaceTag& tag) { return tag.vpid == vpid; },
        [&](Tlb& tlb) { tlb.flush_page(linear.page().raw()); });
}

void flush_page(Cpu& c, Gva linear) { flush_vpid_page(c, c.vmx.vpid, linear); }

void flush_pcid(Cpu& c, u64 pcid) {
    forget(
        c, [&](const SpaceTag& tag) { return tag.vpid == c.vmx.vpid && pcid_of(tag) == pcid; },
        keep_global);
}

void flush_pcid_page(Cpu& c, u64 pcid, Gva linear) {
    forget(
        c, [&](const SpaceTag& tag) { return tag.vpid == c.vmx.vpid && pcid_of(tag) == pcid; },
        [&](Tlb& tlb) { tlb.flush_page(linear.page().raw()); });
}

/// Where instructions come from stays: a fault that is ignored (PREFETCH) ends no block.
void forget_faulting_page(Cpu& c, Gva linear) {
    const u64 pcid = pcid_in_use(c);
    for_each_array(
        c, [&](const SpaceTag& tag) { return tag.vpid == c.vmx.vpid && pcid_of(tag) == pcid; },
        [&](Tlb& tlb) { tlb.flush_page(linear.page().raw()); });
}

void flush_all_vpids(Cpu& c) {
    forget_spaces(c, [](const SpaceTag& tag) { return tag.vpid != 0; });
    select_space(c);
}

void flush_ept(Cpu& c, u64 ept_pointer) {
    forget_spaces(c, [&](const SpaceTag& tag) {
        return tag.ept_pointer != 0 && ept_root(tag.ept_pointer) == ept_root(ept_pointer);
    });
    select_space(c);
}

void flush_all_epts(Cpu& c) {
    forget_spaces(c, [](const SpaceTag& tag) { return tag.ept_pointer != 0; });
    select_space(c);
}

}  // namespace postern::cpu
