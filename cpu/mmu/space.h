// SPDX-License-Identifier: Apache-2.0
// Translations kept apart by what they are translations of: VPID, EPTP, PCID, and whatever else
// decides where an address leads and who may use it. A few spaces have arrays of their own; the
// least recently used one is given to who needs a new one. SDM 3A, "Process-Context Identifiers
// (PCIDs)"; SDM 3C, "Caching Translation Information".
//
// A global page is in the arrays of each space that used it, and the operations that the manual
// wants to reach it whatever the PCID go through all spaces of the VPID. More may be forgotten
// than is asked for.
#pragma once

#include <array>

#include "base/address.h"
#include "base/types.h"
#include "cpu/mmu/tlb.h"
#include "cpu/vmx/state.h"

namespace postern::cpu {

struct Cpu;

/// tlb_supervisor_ac: CPL below 3 with RFLAGS.AC set and SMAP on, when user pages are in reach.
/// tlb_checked: CPL 3, in an enclave or not, with alignment checks; every way into an enclave and
/// out of it forgets all.
enum TlbContext : u8 { tlb_supervisor, tlb_user, tlb_enclave, tlb_supervisor_ac, tlb_checked };
inline constexpr unsigned tlb_contexts = 5;

inline constexpr unsigned tlb_spaces = 8;

/// Whose translations a space holds. Two that differ in CR3 alone, with the same PCID, take the
/// same space one after the other. Of the control registers only the bits are here that decide a
/// translation or what is cached of it.
struct SpaceTag {
    bool valid;
    u16 vpid;
    u32 pkru;
    u64 ept_pointer;
    u64 cr0, cr3, cr4, efer;
    ApicAccessPage apic_access;
};

/// The state of the choice: a function of the instructions executed, as the translations are.
struct SpaceTags {
    std::array<SpaceTag, tlb_spaces> tag;
    std::array<u64, tlb_spaces> chosen;  // when it was last taken up, in choices
    u64 choices;
    u32 current;
};

struct TlbSpace {
    std::array<Tlb, tlb_contexts> tlb;
    bool ready;  // the arrays have been initialised
};

/// CR0, CR4 and EFER bits in a tag.
extern const u64 space_cr0, space_cr4, space_efer;

/// Before anything else: all arrays are empty, and know what they are for.
void reset_tlbs(Cpu& c);
/// After a change of what a tag names: points Cpu::tlbs and Cpu::tlb at the right arrays.
void select_space(Cpu& c);
/// After a change of CPL, RFLAGS.AC, CR0.AM, SMAP or enclave mode: the right array of the space.
void select_tlb(Cpu& c);
/// The arrays of a space that may never have been used.
TlbSpace& prepared_space(Cpu& c, unsigned number);

/// f for every array that may hold something.
template <class C, class F>
void for_each_tlb(C& c, F f) {
    for (auto& space : c.translations)
        for (auto& tlb : space.tlb)
            if (tlb.filled_count != 0) f(tlb);
}

// Forgetting. Those without a VPID mean the current one.

/// Everything there is.
void flush_translations(Cpu& c);
void flush_vpid(Cpu& c, u16 vpid);
void flush_vpid(Cpu& c);
void flush_but_global(Cpu& c);
/// INVLPG: whatever the PCID.
void flush_page(Cpu& c, Gva linear);
/// All but global pages.
void flush_pcid(Cpu& c, u64 pcid);
void flush_pcid_page(Cpu& c, u64 pcid, Gva linear);
/// A fault at `linear` is met: what is cached for its page goes, in the current PCID. SDM 3A,
/// "Operations that Invalidate TLBs and Paging-Structure Caches"; SDM 3C, "Operations that
/// Invalidate Cached Mappings".
void forget_faulting_page(Cpu& c, Gva linear);

/// INVVPID. SDM 3C, "INVVPID".
void flush_vpid_page(Cpu& c, u16 vpid, Gva linear);
void flush_vpid_but_global(Cpu& c, u16 vpid);
void flush_all_vpids(Cpu& c);  // but 0
/// INVEPT. SDM 3C, "INVEPT".
void flush_ept(Cpu& c, u64 ept_pointer);
void flush_all_epts(Cpu& c);

u64 pcid_in_use(const Cpu& c);

}  // namespace postern::cpu
