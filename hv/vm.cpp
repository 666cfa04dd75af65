// SPDX-License-Identifier: Apache-2.0
// Registration of device ranges, and the way to a guest's bytes.
#include "hv/vm.h"

#include "arch/msr.h"

namespace postern::hv {

bool Vm::create() {
    if (!ept_.create().ok()) return false;
    if (apic_access_page_.raw() != 0) return true;
    const Result<Hpa> page = pages_.take();
    if (!page.ok() || !map_.add(MmioRange{Gpa{apic_base_reset_address}, page_size})) return false;
    apic_access_page_ = page.value();
    return true;
}

bool Vm::add_mmio(const MmioRange& range) {
    if (!map_.add(range)) return false;
    if (config_.mmio_marking != MmioMarking::misconfiguration) return true;
    if (range.size > marked_pages_limit * page_size) return true;
    for (u64 offset = 0; offset < range.size; offset += page_size)
        if (!ept_.mark_device(range.base + offset)) return false;
    return true;
}

EpcScrub Vm::reset() {
    sgx_.reset();
    return config_.protections.has(Protection::epc_scrub) ? scrub_epc() : EpcScrub{};
}

const u8* Vm::bytes_at(Gpa address) const {
    const MemorySlot* const slot = map_.find(address);
    if (slot == nullptr || slot->kind == SlotKind::epc) return nullptr;
    const Hpa host = MemoryMap::host_address(*slot, address);
    const u8* const page = port_.page(host);
    return page == nullptr ? nullptr : page + host.offset();
}

u8* Vm::ram_at(Gpa address) const {
    const MemorySlot* const slot = map_.find(address);
    if (slot == nullptr || slot->kind != SlotKind::ram) return nullptr;
    const Hpa host = MemoryMap::host_address(*slot, address);
    u8* const page = port_.page(host);
    return page == nullptr ? nullptr : page + host.offset();
}

u8* Vm::ram_to_change(Gpa address, size_t size) const {
    u8* const bytes = ram_at(address);
    if (bytes != nullptr)
        port_.about_to_write(MemoryMap::host_address(*map_.find(address), address), size);
    return bytes;
}

}  // namespace postern::hv
