// SPDX-License-Identifier: Apache-2.0
// L1's EPT. Its other processors may change it meanwhile: each entry is read once, and flags are
// set only in what was read.
#include "hv/nested/ept12_walk.h"

#include <array>

#include "hv/memory/slot_page.h"
#include "hv/vm.h"

namespace postern::hv {
namespace {

using Outcome = Ept12Result::Outcome;

constexpr unsigned root_level = 4;

/// Where a walk has come: the entries used, of each level, and what was in them.
struct Ept12Walk {
    std::array<Gpa, root_level + 1> at{};
    std::array<u64, root_level + 1> seen{};
    unsigned level = root_level;
    EptFlags permitted = ept_all_access;

    [[nodiscard]] EptEntry entry() const { return EptEntry::from_raw(seen[level]); }
};

/// With 4 levels EPT translates 48 bits. An address that has more is mapped by nothing.
bool is_too_wide(Gpa l2) { return l2.raw() >> page_shift(root_level + 1) != 0; }

u64 read_entry(const Vm& vm, Gpa at) {
    const u8* const bytes = vm.ram_at(at);
    if (bytes == nullptr) return ~u64{0};
    return __atomic_load_n(reinterpret_cast<const u64*>(bytes), __ATOMIC_ACQUIRE);
}

/// False: a misconfiguration. An entry that is not present is none, and one that is misconfigured
/// no violation. SDM 3C, "Prioritization of EPT Misconfigurations and EPT Violations".
bool walk_down(Ept12Walk& w, const Vm& vm, Eptp eptp, Gpa l2, const EptRules& rules) {
    for (u64 table = eptp.root();; --w.level) {
        w.at[w.level] = Gpa{table + sizeof(u64) * linear_index(l2, w.level)};
        w.seen[w.level] = read_entry(vm, w.at[w.level]);
        if (is_ept_misconfigured(w.seen[w.level], w.level, rules)) return false;
        const EptEntry entry = w.entry();
        w.permitted = w.permitted & entry.flags();
        if (!entry.present() || entry.is_leaf(w.level)) return true;
        table = entry.address(w.level);
    }
}

bool allows(EptFlags permissions, Ept12Access access) {
    return (!access.read || permissions.has(EptBit::read)) &&
           (!access.write || permissions.has(EptBit::write)) &&
           (!access.execute || permissions.has(EptBit::execute));
}

bool replace(const Vm& vm, Gpa at, u64 old, u64 value) {
    u8* const bytes = vm.ram_to_change(at, sizeof(u64));
    return bytes != nullptr &&
           __atomic_compare_exchange_n(reinterpret_cast<u64*>(bytes), &old, value, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/// Accessed in every entry used, dirty in the leaf. False: somebody changed an entry meanwhile; or
/// it was the walk itself, in a table that maps itself.
bool set_flags(Ept12Walk& w, const Vm& vm, bool dirties) {
    for (unsigned level = root_level; level >= w.level; --level) {
        auto entry = EptEntry::from_raw(w.seen[level]).with(EptBit::accessed);
        if (level == w.level && dirties) entry = entry.with(EptBit::dirty);
        if (entry.to_raw() == w.seen[level]) continue;
        if (!replace(vm, w.at[level], w.seen[level], entry.to_raw())) return false;
        w.seen[level] = entry.to_raw();
    }
    return true;
}

}  // namespace

Ept12Result walk_ept12(const Vm& vm, Eptp eptp, Gpa l2, Ept12Access access, const EptRules& rules) {
    if (is_too_wide(l2)) return {.outcome = Outcome::violation};
    Ept12Walk w;
    if (!walk_down(w, vm, eptp, l2, rules)) return {.outcome = Outcome::misconfiguration};
    if (!w.entry().present() || !allows(w.permitted, access))
        return {.outcome = Outcome::violation, .permissions = w.permitted};
    if (eptp.accessed_and_dirty() && !set_flags(w, vm, access.write))
        return {.outcome = Outcome::changed};
    const EptEntry leaf = w.entry();
    const u64 inside = bit_mask(page_shift(w.level) - 1, 0);
    return {.address = Gpa{leaf.address(w.level) | (l2.raw() & inside)},
            .level = w.level,
            .permissions = w.permitted,
            .type = leaf.memory_type(),
            .ignore_pat = leaf.has(EptBit::ignore_pat),
            .tracks_writes = eptp.accessed_and_dirty() && !leaf.has(EptBit::dirty)};
}

}  // namespace postern::hv
