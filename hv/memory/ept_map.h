// SPDX-License-Identifier: Apache-2.0
// A guest's EPT: four levels of 4 KiB pages, built on demand from the page pool.
#pragma once

#include "base/address.h"
#include "base/result.h"
#include "hv/memory/memory_map.h"
#include "hv/memory/page_allocator.h"
#include "hv/port.h"

namespace postern::hv {

class EptMap {
public:
    EptMap(Port& port, PageAllocator& pages) : port_{&port}, pages_{&pages} {}

    /// Done by the first map or mark_device too. All three fail if the pool is exhausted.
    [[nodiscard]] Result<> create();
    /// Maps the page of `address`, which lies in `slot`.
    [[nodiscard]] Result<> map(const MemorySlot& slot, Gpa address);
    /// Makes every access to the page an EPT misconfiguration.
    [[nodiscard]] Result<> mark_device(Gpa address);
    /// Takes the page's entry back; the next access is an EPT violation. False: it had none.
    bool forget(Gpa address);
    [[nodiscard]] bool is_mapped(Gpa address) const;

    [[nodiscard]] u64 pointer() const { return pointer_; }

private:
    [[nodiscard]] u64* find(Gpa address) const;
    [[nodiscard]] Result<u64*> find_or_build(Gpa address);
    [[nodiscard]] u64* table(Hpa page) const;
    void replace(u64& entry, u64 value);

    Port* port_;
    PageAllocator* pages_;
    Hpa root_;
    u64 pointer_ = 0;
};

}  // namespace postern::hv
