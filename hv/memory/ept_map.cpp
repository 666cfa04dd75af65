// SPDX-License-Identifier: Apache-2.0
// EPT on demand. SDM 3C, "The Extended Page Table Mechanism (EPT)".
#include "hv/memory/ept_map.h"

#include "arch/paging.h"
#include "arch/vmx/ept.h"

namespace postern::hv {
namespace {

constexpr unsigned root_level = 4;
/// Writable but not readable: always an EPT misconfiguration, whatever the processor supports.
constexpr u64 device_entry = EptFlags{EptBit::write, EptBit::execute}.to_raw();
static_assert(is_ept_misconfigured(device_entry, 1, EptRules{}));

constexpr EptFlags all_access{EptBit::read, EptBit::write, EptBit::execute};

EptFlags permissions_of(SlotKind kind) {
    return kind == SlotKind::rom ? all_access.without({EptBit::write}) : all_access;
}

}  // namespace

Result<> EptMap::create() {
    if (pointer_ != 0) return Done{};
    root_ = TRY(pages_->take());
    pointer_ = Eptp::of(root_.raw(), MemoryType::wb, root_level).to_raw();
    return Done{};
}

Result<> EptMap::map(const MemorySlot& slot, Gpa address) {
    u64* const entry = TRY(find_or_build(address));
    const Hpa host = MemoryMap::host_address(slot, address.page());
    const EptFlags permissions = permissions_of(slot.kind);
    replace(*entry, EptEntry::page(1, host.raw(), permissions, MemoryType::wb).to_raw());
    return Done{};
}

Result<> EptMap::mark_device(Gpa address) {
    replace(*TRY(find_or_build(address)), device_entry);
    return Done{};
}

bool EptMap::forget(Gpa address) {
    u64* const entry = find(address);
    if (entry == nullptr || !EptEntry::from_raw(*entry).has(EptBit::read)) return false;
    replace(*entry, 0);
    return true;
}

bool EptMap::is_mapped(Gpa address) const {
    const u64* const entry = find(address);
    return entry != nullptr && EptEntry::from_raw(*entry).has(EptBit::read);
}

u64* EptMap::table(Hpa page) const { return reinterpret_cast<u64*>(port_->page(page)); }

u64* EptMap::find(Gpa address) const {
    if (pointer_ == 0) return nullptr;
    u64* entries = table(root_);
    for (unsigned level = root_level; level > 1; --level) {
        const auto entry = EptEntry::from_raw(entries[linear_index(address, level)]);
        if (!entry.present()) return nullptr;
        entries = table(Hpa{entry.address(level)});
    }
    return &entries[linear_index(address, 1)];
}

Result<u64*> EptMap::find_or_build(Gpa address) {
    TRY(create());
    u64* entries = table(root_);
    for (unsigned level = root_level; level > 1; --level) {
        u64& entry = entries[linear_index(address, level)];
        if (!EptEntry::from_raw(entry).present()) {
            const Hpa next = TRY(pages_->take());
            entry = EptEntry::table(next.raw(), all_access).to_raw();
        }
        entries = table(Hpa{EptEntry::from_raw(entry).address(level)});
    }
    return &entries[linear_index(address, 1)];
}

/// Only an entry that was usable can be cached. SDM 3C, "Operations that Invalidate Cached
/// Mappings".
void EptMap::replace(u64& entry, u64 value) {
    const bool cached = EptEntry::from_raw(entry).has(EptBit::read);
    entry = value;
    if (cached) port_->invept(pointer_);
}

}  // namespace postern::hv
