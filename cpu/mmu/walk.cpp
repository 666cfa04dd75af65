// SPDX-License-Identifier: Apache-2.0
// Linear to guest-physical (4-level paging) and guest-physical to physical (EPT). Every failure
// is left pending; A and D flags are set once nothing can fail any more.
#include "arch/exception.h"
#include "arch/paging.h"
#include "arch/vmx/ept.h"
#include "arch/vmx/exit_qualification.h"
#include "cpu/event/event.h"
#include "cpu/exec/address.h"
#include "cpu/mmu/access.h"

namespace postern::cpu {
namespace {

constexpr unsigned top_level = 4;

Failed raise_ept_exit(Cpu& c, BasicReason reason, u64 qualification, Gva linear, Gpa physical) {
    c.pending = {};
    c.pending.kind = PendingKind::vm_exit;
    c.pending.reason = reason;
    c.pending.qualification = qualification;
    c.pending.guest_linear = linear.raw();
    c.pending.guest_physical = physical.raw();
    return Failed{};
}

/// A guest-physical access to the APIC-access page; its offset is not reported. SDM 3C,
/// "APIC-Access VM Exits".
Failed raise_apic_exit(Cpu& c) {
    const auto type = c.event.delivering.valid ? ApicAccessType::physical_during_delivery
                                               : ApicAccessType::physical_during_instruction;
    return raise_ept_exit(c, BasicReason::apic_access, ApicAccess::of(type, 0).to_raw(), Gva{},
                          Gpa{});
}

u64 ept_access_bit(Access access) {
    switch (access) {
        case Access::read: return 1;
        case Access::write: return 2;
        case Access::execute: return 4;
    }
    return 0;
}

/// What the translation must permit, in the qualification's bits 2:0. With accessed and dirty
/// flags for EPT every access to a paging-structure entry is also a write. SDM 3C, "Exit
/// Qualification for EPT Violations".
u64 ept_wanted(Eptp eptp, Access access, bool final) {
    return ept_access_bit(access) | (!final && eptp.accessed_and_dirty() ? u64{3} : 0);
}

/// SDM 3C, "EPT Translation Mechanism". `final`: the address is a linear address's translation,
/// not that of a paging-structure entry.
Result<Hpa> walk_ept(Cpu& c, Gpa physical, Access access, Gva linear, bool final) {
    const auto eptp = Eptp::from_raw(c.vmx.ept_pointer);
    const EptRules rules{.max_physical_bits = c.system->physical_bits};
    const u64 wanted = ept_wanted(eptp, access, final);
    std::array<Hpa, top_level + 1> used{};
    u64 table = eptp.root();
    u64 permissions = ept_rwx;
    for (unsigned level = top_level;; --level) {
        const Hpa at{table + 8 * u64{linear_index(physical, level)}};
        const u64 raw = read_physical(c, at, 8);
        if (is_ept_misconfigured(raw, level, rules))
            return raise_ept_exit(c, BasicReason::ept_misconfiguration, 0, linear, physical);
        const auto entry = EptEntry::from_raw(raw);
        permissions &= entry.permissions();
        used[level] = at;
        if (entry.present() && !entry.is_leaf(level)) {
            table = entry.address(level);
            continue;
        }
        if ((permissions & wanted) != wanted) {
            const u64 qualification = wanted | permissions << 3 | u64{1} << 7 | u64{final} << 8;
            return raise_ept_exit(c, BasicReason::ept_violation, qualification, linear, physical);
        }
        if (eptp.accessed_and_dirty()) {
            const bool write = access == Access::write || !final;
            for (unsigned l = level; l <= top_level; ++l) {
                const u64 old = read_physical(c, used[l], 8);
                const u64 set = u64{1} << 8 | (l == level && write ? u64{1} << 9 : 0);
                if ((old & set) != set) write_physical(c, used[l], 8, old | set);
            }
        }
        const u64 inside = bit_mask(page_shift(level) - 1, 0);
        return Hpa{entry.address(level) | (physical.raw() & inside)};
    }
}

bool is_user(const Cpu& c, Accessor as) { return as == Accessor::current && c.cpl == 3; }

u32 page_fault_code(const Cpu& c, Access access, bool user, bool present, bool reserved) {
    PageFaultError code;
    code.set(PageFaultBit::p, present);
    code.set(PageFaultBit::wr, access == Access::write);
    code.set(PageFaultBit::us, user);
    code.set(PageFaultBit::rsvd, reserved);
    code.set(PageFaultBit::id, access == Access::execute && reports_fetches(c));
    return code.to_raw();
}

/// What all levels of a walk allow together.
struct Rights {
    bool write = true;
    bool user = true;
    bool execute = true;
};

/// SDM 3A, "Determination of Access Rights".
bool permitted(const Cpu& c, const Rights& rights, Access access, Accessor as) {
    const bool user = is_user(c, as);
    if (user && !rights.user) return false;
    switch (access) {
        case Access::execute:
            return rights.execute && (user || !rights.user || !c.cr4.has(Cr4::smep));
        case Access::write:
            if (!rights.write && (user || c.cr0.has(Cr0::wp))) return false;
            break;
        case Access::read: break;
    }
    // SMAP: implicit accesses are refused whatever AC says.
    const bool alignment_override = as == Accessor::current && c.flags.has(Rflag::ac);
    return user || !rights.user || !c.cr4.has(Cr4::smap) || alignment_override;
}

/// Accessed in every entry used, dirty in the leaf of a write. SDM 3A, "Accessed and Dirty
/// Flags". Setting one is a write to guest-physical memory, which EPT may refuse.
Result<> set_accessed(Cpu& c, const std::array<Gpa, top_level + 1>& used, unsigned leaf,
                      Access access, Gva linear) {
    for (unsigned level = top_level; level >= leaf; --level) {
        const Hpa at = TRY(translate_physical(c, used[level], Access::read, linear, false));
        const u64 old = read_physical(c, at, 8);
        const bool dirty = level == leaf && access == Access::write;
        const u64 set = u64{1} << 5 | u64{dirty} << 6;
        if ((old & set) == set) continue;
        const Hpa writable = TRY(translate_physical(c, used[level], Access::write, linear, false));
        write_physical(c, writable, 8, old | set);
    }
    return Done{};
}

/// SDM 3A, "Linear-Address Translation with 4-Level Paging".
Result<Gpa> walk_paging(Cpu& c, Gva linear, Access access, Accessor as) {
    const PagingRules rules{.max_physical_bits = c.system->physical_bits,
                            .nxe = c.efer.has(Efer::nxe)};
    const bool user = is_user(c, as);
    std::array<Gpa, top_level + 1> used{};
    Rights rights;
    u64 table = cr3_table(c.cr3);
    for (unsigned level = top_level;; --level) {
        used[level] = Gpa{table + 8 * u64{linear_index(linear, level)}};
        const Hpa at = TRY(translate_physical(c, used[level], Access::read, linear, false));
        const auto entry = PageEntry::from_raw(read_physical(c, at, 8));
        if (!entry.has(PageEntryBit::p))
            return raise_page_fault(c, linear.raw(),
                                    page_fault_code(c, access, user, false, false));
        if (has_reserved_bits(entry, level, rules))
            return raise_page_fault(c, linear.raw(), page_fault_code(c, access, user, true, true));
        rights.write &= entry.has(PageEntryBit::rw);
        rights.user &= entry.has(PageEntryBit::us);
        rights.execute &= !entry.has(PageEntryBit::nx);
        if (!is_page(entry, level)) {
            table = page_address(entry, level);
            continue;
        }
        if (!permitted(c, rights, access, as))
            return raise_page_fault(c, linear.raw(), page_fault_code(c, access, user, true, false));
        TRY(set_accessed(c, used, level, access, linear));
        const u64 inside = bit_mask(page_shift(level) - 1, 0);
        return Gpa{page_address(entry, level) | (linear.raw() & inside)};
    }
}

}  // namespace

Result<Hpa> translate_physical(Cpu& c, Gpa physical, Access access, Gva linear, bool final) {
    if (c.vmx.ept_pointer == 0) return Hpa{physical.raw()};
    const Hpa at = TRY(walk_ept(c, physical, access, linear, final));
    // What access.cpp does for a linear address's own translation.
    if (!final && c.vmx.apic_access.covers(at)) return raise_apic_exit(c);
    return at;
}

Result<Hpa> translate(Cpu& c, Gva linear, Access access, Accessor as, Gpa* gpa) {
    Gpa physical{linear.raw()};
    if (c.cr0.has(Cr0::pg)) {
        if (!c.efer.has(Efer::lma) || c.cr4.has(Cr4::la57))
            return raise_unimplemented(c, "paging other than 4-level");
        // SDM 3A, "Interrupt 13: General Protection Exception (#GP)": not canonical. Through SS
        // it is #SS; the stack instructions ask for that themselves.
        if (!is_canonical(c, linear.raw())) return general_protection(c);
        physical = TRY(walk_paging(c, linear, access, as));
    }
    if (gpa != nullptr) *gpa = physical;
    return translate_physical(c, physical, access, linear, true);
}

}  // namespace postern::cpu
