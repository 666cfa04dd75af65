// SPDX-License-Identifier: Apache-2.0
// EPT on demand. SDM 3C, "The Extended Page Table Mechanism (EPT)".
#include "hv/memory/ept_map.h"

#include "arch/paging.h"
#include "arch/vmx/capability.h"
#include "arch/vmx/ept.h"
#include "hv/memory/slot_page.h"

namespace postern::hv {
namespace {

constexpr unsigned root_level = 4;
/// Writable but not readable: always an EPT misconfiguration, whatever the processor supports.
constexpr u64 device_entry = EptFlags{EptBit::write, EptBit::execute}.to_raw();
static_assert(is_ept_misconfigured(device_entry, 1, EptRules{}));

/// Only an entry that was usable can be cached. SDM 3C, "Operations that Invalidate Cached
/// Mappings".
bool can_be_cached(u64 entry) { return EptEntry::from_raw(entry).has(EptBit::read); }

u64 entry_for(const MemorySlot& slot, Gpa address, unsigned level) {
    const u64 host = host_page(slot, address, level).raw();
    return EptEntry::page(level, host, permissions_of(slot.kind), MemoryType::wb).to_raw();
}

}  // namespace

Result<> EptMap::create() {
    if (pointer_ != 0) return Done{};
    restore({.root = TRY(pages_->take()).raw(), .generation = generation_});
    return Done{};
}

void EptMap::restore(const State& state) {
    root_ = Hpa{state.root};
    generation_ = state.generation;
    pointer_ = state.root == 0 ? 0 : Eptp::of(state.root, MemoryType::wb, root_level).to_raw();
    const auto capabilities =
        EptVpidCapabilities::from_raw(port_->rdmsr(static_cast<u32>(Msr::vmx_ept_vpid_cap)));
    largest_level_ = 1;
    if (!capabilities.has(EptVpidCapability::pages_2m)) return;
    largest_level_ = capabilities.has(EptVpidCapability::pages_1g) ? 3 : 2;
}

/// Another processor may have touched the page first: then nothing is left to do.
Result<> EptMap::map(const MemorySlot& slot, Gpa address) {
    TRY(create());
    const Place now = find(address);
    if (*now.entry == entry_for(slot, address, now.level)) return Done{};
    const unsigned level = level_for(slot, address, now);
    replace(*TRY(find_or_build(address, level)), entry_for(slot, address, level));
    return Done{};
}

/// Only an empty place takes a large page: tables, once there, stay.
unsigned EptMap::level_for(const MemorySlot& slot, Gpa address, const Place& now) const {
    if (*now.entry != 0) return 1;
    return largest_page(slot, address, largest_level_ < now.level ? largest_level_ : now.level);
}

Result<> EptMap::mark_device(Gpa address) {
    TRY(create());
    ++generation_;
    replace(*TRY(find_or_build(address, 1)), device_entry);
    return Done{};
}

bool EptMap::forget(Gpa address) {
    ++generation_;
    if (!is_mapped(address)) return false;
    const Result<u64*> entry = find_or_build(address, 1);
    if (!entry.ok()) return false;
    replace(*entry.value(), 0);
    return true;
}

unsigned EptMap::mapped_level(Gpa address) const {
    const Place place = find(address);
    return place.entry != nullptr && can_be_cached(*place.entry) ? place.level : 0;
}

u64* EptMap::table(Hpa page) const { return reinterpret_cast<u64*>(port_->page(page)); }

/// Where the walk of `address` ends: at a page, or at an entry that is empty.
EptMap::Place EptMap::find(Gpa address) const {
    if (pointer_ == 0) return {};
    u64* entries = table(root_);
    for (unsigned level = root_level;; --level) {
        u64& raw = entries[linear_index(address, level)];
        const auto entry = EptEntry::from_raw(raw);
        if (!entry.present() || entry.is_leaf(level)) return {&raw, level};
        entries = table(Hpa{entry.address(level)});
    }
}

Result<u64*> EptMap::find_or_build(Gpa address, unsigned last) {
    u64* entries = table(root_);
    for (unsigned level = root_level; level > last; --level) {
        u64& raw = entries[linear_index(address, level)];
        if (!EptEntry::from_raw(raw).present()) {
            const Hpa next = TRY(pages_->take());
            raw = EptEntry::table(next.raw(), ept_all_access).to_raw();
        } else if (EptEntry::from_raw(raw).is_leaf(level)) {
            TRY(split(raw, level));
        }
        entries = table(Hpa{EptEntry::from_raw(raw).address(level)});
    }
    return &entries[linear_index(address, last)];
}

/// The same translations, from a table of 512 smaller pages.
Result<> EptMap::split(u64& entry, unsigned level) {
    const auto large = EptEntry::from_raw(entry);
    const Hpa page = TRY(pages_->take());
    u64* const entries = table(page);
    const auto permissions = EptFlags::from_raw(u64{large.permissions()});
    for (unsigned n = 0; n < page_table_entry_count; ++n) {
        const u64 host = large.address(level) + n * page_bytes(level - 1);
        entries[n] = EptEntry::page(level - 1, host, permissions, large.memory_type()).to_raw();
    }
    exchange(entry, EptEntry::table(page.raw(), ept_all_access).to_raw());
    return Done{};
}

void EptMap::replace(u64& entry, u64 value) {
    if (can_be_cached(entry)) ++generation_;
    exchange(entry, value);
}

void EptMap::exchange(u64& entry, u64 value) {
    const bool cached = can_be_cached(entry);
    entry = value;
    if (cached) port_->invept(pointer_);
}

}  // namespace postern::hv
