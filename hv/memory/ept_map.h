// SPDX-License-Identifier: Apache-2.0
// A guest's EPT: four levels, built on demand from the page pool. A first touch maps the largest
// page that the slot, both addresses and the processor allow; what is asked of a single page
// afterwards splits it. Tables stay until the guest ends, so none is ever looked for again.
#pragma once

#include <type_traits>

#include "base/address.h"
#include "base/result.h"
#include "hv/memory/memory_map.h"
#include "hv/memory/page_allocator.h"
#include "hv/port.h"

namespace postern::hv {

class EptMap {
public:
    /// What a snapshot saves; the tables are saved with the memory they lie in.
    struct State {
        u64 root = 0;  // 0: there is none yet
        u64 generation = 0;
        friend constexpr bool operator==(const State&, const State&) = default;
    };
    static_assert(std::is_trivially_copyable_v<State> && std::is_standard_layout_v<State>);

    EptMap(Port& port, PageAllocator& pages) : port_{&port}, pages_{&pages} {}

    /// Done by the first map or mark_device too. All three fail if the pool is exhausted.
    [[nodiscard]] Result<> create();
    /// Maps the page of `address`, which lies in `slot`, and as much of the slot around it as one
    /// entry can. Pages of EPC are mapped one by one.
    [[nodiscard]] Result<> map(const MemorySlot& slot, Gpa address);
    /// Makes every access to the page an EPT misconfiguration.
    [[nodiscard]] Result<> mark_device(Gpa address);
    /// Takes the page's entry back, splitting a large one; the next access is an EPT violation.
    /// False: it had none, or a split finds the pool exhausted.
    bool forget(Gpa address);
    [[nodiscard]] bool is_mapped(Gpa address) const { return mapped_level(address) != 0; }
    /// 1, 2 or 3: mapped by a page of 4 KiB, 2 MiB or 1 GiB; 0: not mapped.
    [[nodiscard]] unsigned mapped_level(Gpa address) const;

    [[nodiscard]] u64 pointer() const { return pointer_; }
    /// Grows whenever a translation is taken back or becomes another: what was derived of it before
    /// (hv/nested/shadow_ept.h) may be wrong. Splits keep translations. A page that this EPT has
    /// not mapped yet may be derived all the same, so forget and mark_device always count.
    [[nodiscard]] u64 generation() const { return generation_; }
    /// Of the pages that the processor's EPT can map: 1, 2 or 3, as in mapped_level().
    [[nodiscard]] unsigned largest_level() const { return largest_level_; }

    [[nodiscard]] State state() const { return {root_.raw(), generation_}; }
    /// The memory with the tables is what it was, and so is the allocator's state.
    void restore(const State& state);

private:
    struct Place {
        u64* entry = nullptr;
        unsigned level = 0;
    };
    [[nodiscard]] unsigned level_for(const MemorySlot& slot, Gpa address, const Place& now) const;
    [[nodiscard]] Place find(Gpa address) const;
    [[nodiscard]] Result<u64*> find_or_build(Gpa address, unsigned level);
    [[nodiscard]] Result<> split(u64& entry, unsigned level);
    [[nodiscard]] u64* table(Hpa page) const;
    void replace(u64& entry, u64 value);
    void exchange(u64& entry, u64 value);

    Port* port_;
    PageAllocator* pages_;
    Hpa root_;
    u64 pointer_ = 0;
    u64 generation_ = 0;
    unsigned largest_level_ = 1;
};

}  // namespace postern::hv
