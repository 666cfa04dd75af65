// SPDX-License-Identifier: Apache-2.0
// The EPT walk. Every failure is left pending; flags are set, and the log is written, once nothing
// can fail any more. SDM 3C, "The Extended Page Table Mechanism (EPT)".
#include "cpu/mmu/ept.h"

#include <array>

#include "arch/vmx/ept.h"
#include "cpu/event/controls.h"

namespace postern::cpu {
namespace {

constexpr unsigned top_level = 4;

Failed raise_exit(Cpu& c, BasicReason reason, u64 qualification, const GuestAccess& a) {
    c.pending = {};
    c.pending.kind = PendingKind::vm_exit;
    c.pending.reason = reason;
    c.pending.qualification = qualification;
    c.pending.guest_linear = a.linear.raw();
    c.pending.guest_physical = a.physical.raw();
    return Failed{};
}

Failed raise_violation(Cpu& c, const GuestAccess& a, u64 wanted, u64 permitted) {
    return raise_exit(c, BasicReason::ept_violation, ept_violation(a, wanted, permitted).to_raw(),
                      a);
}

/// A guest-physical access to the APIC-access page; its offset is not reported. SDM 3C,
/// "APIC-Access VM Exits".
Failed raise_apic_exit(Cpu& c) {
    const auto type = c.event.delivering.valid ? ApicAccessType::physical_during_delivery
                                               : ApicAccessType::physical_during_instruction;
    return raise_exit(c, BasicReason::apic_access, ApicAccess::of(type, 0).to_raw(), {});
}

/// Where a walk has come: the entries used, of each level, and what was in them.
struct EptWalk {
    std::array<Hpa, top_level + 1> at{};
    std::array<u64, top_level + 1> seen{};
    unsigned level = top_level;
    u64 permitted = ept_rwx;

    [[nodiscard]] EptEntry entry() const { return EptEntry::from_raw(seen[level]); }
};

/// With 4 levels EPT translates 48 bits. An address that has more is mapped by nothing.
bool is_too_wide(Gpa physical) { return physical.raw() >> page_shift(top_level + 1) != 0; }

/// From the top to the leaf, or to an entry that is not present. In this order an entry that is not
/// present is no misconfiguration, and one that is misconfigured no violation. SDM 3C,
/// "Prioritization of EPT Misconfigurations and EPT Violations".
Result<> walk_down(Cpu& c, const GuestAccess& a, Eptp eptp, EptWalk& w) {
    const EptRules rules{.max_physical_bits = c.system->physical_bits};
    for (u64 table = eptp.root();; --w.level) {
        w.at[w.level] = Hpa{table + 8 * u64{linear_index(a.physical, w.level)}};
        w.seen[w.level] = read_physical(c, w.at[w.level], 8);
        if (is_ept_misconfigured(w.seen[w.level], w.level, rules))
            return raise_exit(c, BasicReason::ept_misconfiguration, 0, a);
        const EptEntry entry = w.entry();
        w.permitted &= entry.permissions();
        if (!entry.present() || entry.is_leaf(w.level)) return Done{};
        table = entry.address(w.level);
    }
}

constexpr u64 bit_of(EptBit bit) { return u64{1} << static_cast<unsigned>(bit); }

/// The flags of the entry of `level`, of those that the access sets, which are still 0.
u64 missing_flags(const EptWalk& w, unsigned level, bool dirties) {
    const bool dirty = level == w.level && dirties;
    const u64 wanted = bit_of(EptBit::accessed) | (dirty ? bit_of(EptBit::dirty) : 0);
    return wanted & ~w.seen[level];
}

constexpr u64 log_entries = 512;

u64 log_index(const Cpu& c) { return c.vmx.vmcs.get<VmcsField::pml_index>(); }

/// SDM 3C, "Page-Modification Logging": the page's address goes to the log, whose index moves
/// down and, after entry 0, out of range.
void log_modification(Cpu& c, Gpa physical) {
    Vmcs& v = c.vmx.vmcs;
    const u64 index = log_index(c);
    write_physical(c, Hpa{v.get<VmcsField::pml_address>() + 8 * index}, 8, physical.page().raw());
    v.set<VmcsField::pml_index>(static_cast<u16>(index - 1));
}

/// Accessed in every entry used, dirty in the leaf. With a log that is full no flag is set, be it
/// one that would not have been logged, and the access does not happen. SDM 3C, "Accessed and Dirty
/// Flags for EPT" and "Page-Modification Logging".
Result<> set_flags(Cpu& c, const GuestAccess& a, const EptWalk& w, bool dirties) {
    u64 missing = 0;
    for (unsigned level = w.level; level <= top_level; ++level)
        missing |= missing_flags(w, level, dirties);
    if (missing == 0) return Done{};
    const bool logs = wants(c, SecondaryControl::enable_pml);
    if (logs && log_index(c) >= log_entries)
        return raise_exit(c, BasicReason::page_modification_log_full, 0, a);
    for (unsigned level = w.level; level <= top_level; ++level) {
        const u64 set = missing_flags(w, level, dirties);
        // Read again: a table that maps itself has one entry on two levels.
        if (set != 0) write_physical(c, w.at[level], 8, read_physical(c, w.at[level], 8) | set);
    }
    if (logs && (missing & bit_of(EptBit::dirty)) != 0) log_modification(c, a.physical);
    return Done{};
}

}  // namespace

/// SDM 3C, "EPT Translation Mechanism".
Result<Hpa> walk_ept(Cpu& c, const GuestAccess& a) {
    const auto eptp = Eptp::from_raw(c.vmx.ept_pointer);
    const u64 wanted = ept_wanted(a.use, a.access, eptp.accessed_and_dirty());
    if (is_too_wide(a.physical)) return raise_violation(c, a, wanted, 0);
    EptWalk w;
    TRY(walk_down(c, a, eptp, w));
    if ((w.permitted & wanted) != wanted) return raise_violation(c, a, wanted, w.permitted);
    const u64 inside = bit_mask(page_shift(w.level) - 1, 0);
    const Hpa at{w.entry().address(w.level) | (a.physical.raw() & inside)};
    const bool dirties = (wanted & bit_of(EptBit::write)) != 0;
    if (eptp.accessed_and_dirty()) TRY(set_flags(c, a, w, dirties));
    // What access.cpp does for a linear address's own translation.
    if (a.use != EptUse::translation && c.vmx.apic_access.covers(at)) return raise_apic_exit(c);
    return at;
}

}  // namespace postern::cpu
