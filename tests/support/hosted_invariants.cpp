// SPDX-License-Identifier: Apache-2.0
// The rules, each by itself.
#include "support/hosted_invariants.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include <fmt/format.h>

#include "arch/apic.h"
#include "arch/vmx/ept.h"

namespace postern::host::test {
namespace {

constexpr unsigned root_level = 4;
constexpr EptRules any_processor{};

/// Pages that were never touched are not there, and are zero. `first` and `count` in pages.
std::vector<unsigned char> residence(const u8* ram, u64 first, u64 count) {
    std::vector<unsigned char> resident(count, 1);
    void* const start = const_cast<u8*>(ram) + first * page_size;
    if (mincore(start, count * page_size, resident.data()) != 0)
        std::ranges::fill(resident, static_cast<unsigned char>(1));
    return resident;
}

bool is_zero(const u8* page) {
    return page[0] == 0 && std::memcmp(page, page + 1, page_size - 1) == 0;
}

u64 reserve_end(Guest& guest) {
    const hv::PagePool& pool = guest.vm().config().pool;
    return pool.base.raw() + u64{pool.pages} * page_size;
}

const u8* bytes_of(Guest& guest, u64 page) { return guest.machine().ram() + page; }

bool in_pool(Guest& guest, u64 address) {
    const hv::PagePool& pool = guest.vm().config().pool;
    return address >= pool.base.raw() && address < reserve_end(guest);
}

/// The page that a processor takes for its APIC's registers; ~0: none. Of L1's VMCS: its guest's is
/// a page of L1's.
u64 apic_access_page(Guest& guest) {
    const u64 page = guest.vm().apic_access_page().raw();
    return page != 0 ? page : ~u64{0};
}

/// Virtual APIC pages, and copies of what the guest gave leaves of ENCLS.
bool is_kept_for_the_guest(Guest& guest, u64 page) {
    for (unsigned n = 0; n < guest.processor_count(); ++n) {
        hv::Vcpu::State state;
        guest.vcpu(n).save(state);
        if (page == guest.vcpu(n).apic().state().page) return true;
        if (std::ranges::find(state.sgx.pages, page) != state.sgx.pages.end()) return true;
        const hv::Nested::State& nested = state.nested;
        const std::array kept{nested.vmcs01, nested.vmcs02, nested.msr_bitmap02};
        if (nested.vmcs02 != 0 && std::ranges::find(kept, page) != kept.end()) return true;
    }
    return false;
}

/// The page table of parked processors maps itself once a leaf of ENCLS has been run, and nothing
/// else between two runs.
bool maps_only_itself(const u8* table, u64 page) {
    u64 last = 0;
    std::memcpy(&last, table + page_size - sizeof last, sizeof last);
    return page_address(PageEntry::from_raw(last), 1) == page &&
           std::all_of(table, table + page_size - sizeof last, [](u8 byte) { return byte == 0; });
}

/// The bits of the x2APIC's MSRs follow the guest's IA32_APIC_BASE; no others change.
bool differ_in_x2apic_only(const u8* before, const u8* after) {
    constexpr u64 reads = 0x100, writes = 0x900, size = 0x20;
    for (u64 i = 0; i < page_size; ++i)
        if (before[i] != after[i] && i - reads >= size && i - writes >= size) return false;
    return true;
}

/// Such pages are a list: each begins with the address of the next.
bool is_given_back(Guest& guest, u64 page) {
    const hv::PageAllocator::State& state = guest.vm().pages().state();
    u64 at = state.first;
    for (u32 left = state.given_back; left != 0 && in_pool(guest, at); --left) {
        if (at == page) return true;
        std::memcpy(&at, bytes_of(guest, at), sizeof at);
    }
    return false;
}

Breach leaf_is_the_guests(Guest& guest, EptEntry entry, unsigned level, u64 gpa) {
    const u64 host = entry.address(level);
    if (host == apic_access_page(guest)) return {};
    const hv::MemorySlot* const slot = guest.vm().memory().find(Gpa{gpa});
    if (slot == nullptr) return {"EPT maps only what is memory of the guest's", gpa};
    const u64 size = page_bytes(level);
    if (gpa + size > slot->base.raw() + slot->size)
        return {"a page of EPT lies in one slot of memory", gpa};
    if (hv::MemoryMap::host_address(*slot, Gpa{gpa}) != Hpa{host})
        return {"EPT maps memory to its own place", gpa};
    if (host < reserve_end(guest)) return {"EPT leads to no page of the hypervisor's", host};
    if (slot->kind == hv::SlotKind::rom && entry.has(EptBit::write))
        return {"ROM cannot be written", gpa};
    return {};
}

/// Of a shadow: which of its own addresses a hypervisor gives its guest is its affair.
Breach leaf_is_of_the_guests(Guest& guest, EptEntry entry, unsigned level, u64) {
    const u64 host = entry.address(level);
    if (host == apic_access_page(guest)) return {"no shadow maps the APIC-access page", host};
    for (size_t n = 0; n < guest.vm().memory().slot_count(); ++n) {
        const hv::MemorySlot& slot = guest.vm().memory().slot(n);
        const u64 first = slot.host.raw();
        if (host < first || host + page_bytes(level) > first + slot.size) continue;
        if (host < reserve_end(guest)) return {"EPT leads to no page of the hypervisor's", host};
        const bool writable_rom = slot.kind == hv::SlotKind::rom && entry.has(EptBit::write);
        return writable_rom ? Breach{"ROM cannot be written", host} : Breach{};
    }
    return {"a shadow maps only what is memory of the guest's", host};
}

using OnTable = std::function<void(u64 table)>;
using OnLeaf = Breach (*)(Guest&, EptEntry, unsigned level, u64 gpa);

Breach walk(Guest& guest, u64 table, unsigned level, u64 base, const OnTable& on_table,
            OnLeaf on_leaf) {
    if (!in_pool(guest, table)) return {"a table of EPT lies in the pool", table};
    on_table(table);
    for (u64 i = 0; i < 512; ++i) {
        u64 raw = 0;
        std::memcpy(&raw, bytes_of(guest, table) + 8 * i, sizeof raw);
        const auto entry = EptEntry::from_raw(raw);
        const u64 gpa = base + (i << page_shift(level));
        if (!entry.present() || is_ept_misconfigured(raw, level, any_processor)) continue;
        const Breach breach = entry.is_leaf(level) ? on_leaf(guest, entry, level, gpa)
                                                   : walk(guest, entry.address(level), level - 1,
                                                          gpa, on_table, on_leaf);
        if (breach) return breach;
    }
    return {};
}

Breach walk_all(Guest& guest, const OnTable& on_table) {
    const u64 root = Eptp::from_raw(guest.vm().ept().pointer()).root();
    if (auto breach = walk(guest, root, root_level, 0, on_table, leaf_is_the_guests)) return breach;
    for (unsigned n = 0; n < guest.processor_count(); ++n)
        for (const auto& context : guest.vcpu(n).nested().ept().state().contexts) {
            if (context.eptp12 == 0) continue;
            const u64 shadow = context.root;
            if (auto breach = walk(guest, shadow, root_level, 0, on_table, leaf_is_of_the_guests))
                return breach;
        }
    return {};
}

/// Stops that say that the hypervisor or the processor, not the guest, is wrong.
constexpr std::array ours{
    hv::StopReason::unknown_exit_reason, hv::StopReason::reserved_exit_reason,
    hv::StopReason::entry_failed,        hv::StopReason::vmfail,
    hv::StopReason::delivery_failed,     hv::StopReason::no_instruction_length,
    hv::StopReason::enclave_fault,       hv::StopReason::processor_lacks_control,
    hv::StopReason::bad_configuration,   hv::StopReason::out_of_table_pages,
    hv::StopReason::sgx_operand};

}  // namespace

ReserveWatch::ReserveWatch(Guest& guest) : guest_{&guest}, end_{reserve_end(guest)} {
    const auto resident = residence(guest.machine().ram(), 0, end_ / page_size);
    for (u64 page = 0; page < end_; page += page_size) {
        const u8* const bytes = bytes_of(guest, page);
        if (resident[page / page_size] == 0 || is_zero(bytes)) continue;
        pages_.emplace(page, std::vector<u8>{bytes, bytes + page_size});
    }
}

bool ReserveWatch::is_table(u64 page) const {
    const std::vector<u64> tables = ept_tables(*guest_);
    return std::ranges::find(tables, page) != tables.end();
}

bool ReserveWatch::is_changed_bitmap(u64 page, const u8* before) const {
    for (unsigned n = 0; n < guest_->processor_count(); ++n)
        if (page == guest_->vcpu(n).nested().state().msr_bitmap01)
            return differ_in_x2apic_only(before, bytes_of(*guest_, page));
    return false;
}

Breach ReserveWatch::look() const {
    const auto resident = residence(guest_->machine().ram(), 0, end_ / page_size);
    const hv::PagePool& pool = guest_->vm().config().pool;
    const u64 taken = pool.base.raw() + u64{guest_->vm().pages().state().used} * page_size;
    for (u64 page = 0; page < end_; page += page_size) {
        if (resident[page / page_size] == 0) continue;
        const u8* const bytes = bytes_of(*guest_, page);
        const auto known = pages_.find(page);
        const bool same = known == pages_.end()
                              ? is_zero(bytes)
                              : std::memcmp(known->second.data(), bytes, page_size) == 0;
        const bool handed_out = page >= pool.base.raw() && page < taken;
        if (same || (handed_out && (is_table(page) || is_given_back(*guest_, page)))) continue;
        if (handed_out && is_kept_for_the_guest(*guest_, page)) continue;
        if (known != pages_.end() && is_changed_bitmap(page, known->second.data())) continue;
        if (page == guest_->vm().config().host.cr3 && maps_only_itself(bytes, page)) continue;
        return {"the hypervisor's pages are the hypervisor's", page};
    }
    return {};
}

Breach ept_maps_only_the_guest(Guest& guest) {
    return walk_all(guest, [](u64) {});
}

std::vector<u64> ept_tables(Guest& guest) {
    std::vector<u64> tables;
    static_cast<void>(walk_all(guest, [&](u64 table) { tables.push_back(table); }));
    return tables;
}

Breach apic_is_as_kept(Guest& guest, unsigned processor) {
    const hv::VirtualApic& apic = guest.vcpu(processor).apic();
    const auto highest = [&](u32 first) {
        apic::Vectors words{};
        for (u32 n = 0; n < words.size(); ++n)
            std::memcpy(&words[n], bytes_of(guest, apic.state().page) + u64{first + n} * 16,
                        sizeof words[n]);
        return apic::highest(words);
    };
    if (const int vector = highest(apic::reg_requested); vector != apic.requested())
        return {"the request in front is known", static_cast<u64>(vector)};
    if (const int vector = highest(apic::reg_in_service); vector != apic.in_service())
        return {"the interrupt in service is known", static_cast<u64>(vector)};
    return {};
}

Breach wrong_end(const RunResult& result, bool by_programs) {
    const auto reason = static_cast<u64>(result.stop.reason);
    if (result.ending == Ending::stopped &&
        std::ranges::find(ours, result.stop.reason) != ours.end())
        return {"a stop is the guest's doing", reason};
    if (result.ending == Ending::processor && !result.what.starts_with("not implemented: "))
        return {"the processor goes on", 0};
    const bool lives =
        result.ending == Ending::exit_port || result.ending == Ending::instruction_limit;
    if (by_programs && !lives) return {"programs do not end their guest", reason};
    return {};
}

std::string describe(const RunResult& result) {
    return fmt::format("ending {}, stop {} ({}), exit reason {:#x}, detail {:#x}; {}",
                       static_cast<unsigned>(result.ending),
                       static_cast<unsigned>(result.stop.reason),
                       result.stop.what != nullptr ? result.stop.what : "",
                       result.stop.exit.raw_reason, result.stop.detail, result.what);
}

}  // namespace postern::host::test
