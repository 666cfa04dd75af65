// SPDX-License-Identifier: Apache-2.0
// Who is who among a guest's enclaves: each ECREATE and EINIT that the hypervisor saw, and the
// exits of each. Bounded: the oldest make room, and what they did stays in a sum.
#pragma once

#include <array>
#include <span>
#include <type_traits>

#include "base/address.h"
#include "hv/watch.h"

namespace postern::hv {

/// By reason, and by kind: [0] an enclave's instruction was interrupted, [1] a delivery was.
struct EnclaveCounters {
    std::array<std::array<u64, 2>, reason_limit> by_reason{};
    u64 exits = 0;
    u64 guard_hits = 0;
    u64 anomalies = 0;

    void count(const ExitRecord& record);
    void add(const EnclaveCounters& other);
};

class EnclaveTable {
public:
    static constexpr size_t limit = 64;

    struct Entry {
        EnclaveIdentity enclave;
        u64 cr3 = 0;    // of the address space that created it
        u64 lives = 0;  // 0: removed, or its SECS page was given to another; else 1
        EnclaveCounters counters;
    };

    struct State {
        std::array<Entry, limit> entries{};
        u64 created = 0;          // ever
        EnclaveCounters retired;  // of enclaves that made room
        EnclaveCounters unknown;  // of enclaves whose ECREATE was not seen
    };
    static_assert(std::is_trivially_copyable_v<State> && std::is_standard_layout_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    /// `watcher` is told of each enclave as it is created and once more when it is initialized.
    explicit EnclaveTable(Watcher& watcher) : watcher_{watcher} {}

    /// A guest's ECREATE has succeeded. A SECS page that was another's is this one's now.
    void created(Gpa secs, Gva base, u64 size, u64 cr3);
    /// Its EINIT has. A SECS that nobody created here is passed over.
    void initialized(Gpa secs, const u8 (&mrenclave)[32]);

    /// The EPC was emptied: none of them is there any more.
    void all_removed();

    /// Whose thread control structure `tcs` is. Null: no enclave that is known. An enclave belongs
    /// to the address space that created it, told by the page frame in CR3; if none matches
    /// exactly, one that matches but for bit 12, which is where Linux's page-table isolation keeps
    /// the two roots of a process apart. Of several the newest.
    [[nodiscard]] const Entry* find(u64 tcs, u64 cr3) const;

    /// An exit of kind enclave or delivery, complete; record.secs says whose.
    void count(const ExitRecord& record);

    /// In no order; EnclaveIdentity::number gives that of creation.
    [[nodiscard]] std::span<const Entry> entries() const { return {state_.entries.data(), used()}; }
    [[nodiscard]] const EnclaveCounters& retired() const { return state_.retired; }
    [[nodiscard]] const EnclaveCounters& unknown() const { return state_.unknown; }

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    [[nodiscard]] size_t used() const {
        return state_.created < limit ? static_cast<size_t>(state_.created) : limit;
    }
    [[nodiscard]] Entry* living(u64 secs);
    [[nodiscard]] Entry& oldest();

    State state_;
    Watcher& watcher_;
};

}  // namespace postern::hv
