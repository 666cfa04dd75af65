// SPDX-License-Identifier: Apache-2.0
// A trace in numbers: by reason and kind, by enclave, over time, and what stands out. The lists are
// bounded, whatever the trace holds: what is too much for one is in the number named other_...
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "app/trace_format.h"

namespace postern::app {

/// The enclaves of a trace, as its records introduce them.
class EnclaveBook {
public:
    void see(const hv::EnclaveIdentity& enclave);
    /// After a reset none of them is there any more.
    void forget() { by_secs_.clear(); }
    /// Of an exit, at its place in the trace. Null: not an enclave's, or one that is not known.
    [[nodiscard]] const hv::EnclaveIdentity* of(const hv::ExitRecord& exit) const;

private:
    std::map<u64, hv::EnclaveIdentity> by_secs_;
};

/// Which exits are meant.
struct ExitFilter {
    std::vector<u16> reasons;  // empty: all
    std::string mrenclave;     // first digits; empty: any
    std::optional<u64> secs;
    std::optional<u64> number;
    u64 from = 0, to = ~u64{0};  // TSC, both included

    [[nodiscard]] bool takes(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who) const;
};

struct EnclaveExits {
    hv::EnclaveIdentity enclave;  // number 0: of all that are not known
    std::array<u64, hv::exit_kind_count> by_kind{};
    u64 exits = 0;
    u64 guard_hits = 0;
    u64 first = 0, last = 0;  // TSC
};

struct GuardHit {
    u64 enclave = 0;  // its number; 0: not known
    u16 reason = 0;
    u64 aep = 0, tcs = 0, guest_physical = 0;
    auto operator<=>(const GuardHit&) const = default;
};

struct Bucket {
    u64 exits = 0;
    u64 enclave = 0;  // and delivery
    u64 guard_hits = 0;
};

/// Of the guest itself (L1), or of the guest that a hypervisor in it runs (L2).
struct LevelExits {
    u64 exits = 0;
    u64 enclave = 0;  // and delivery
    u64 passed_on = 0;
};

using ByKind = std::array<u64, hv::exit_kind_count>;

struct Summary {
    static constexpr size_t list_most = 1000;

    u64 exits = 0;
    u64 resets = 0;           // in the same time
    u64 first = 0, last = 0;  // TSC, lowest and highest
    ByKind by_kind{};
    std::map<u16, ByKind> by_reason;
    std::array<u64, 64> by_vcpu{};
    std::array<LevelExits, 2> by_level;
    std::array<u64, hv::action_count> by_action{};
    std::array<u64, hv::anomaly_count> anomalies{};
    std::map<u64, EnclaveExits> by_enclave;  // by its number
    u64 other_enclaves = 0;                  // exits of enclaves that did not fit
    std::map<u32, u64> injected;             // by the event's word
    u64 other_injected = 0;
    std::map<GuardHit, u64> guard_hits;
    u64 other_guard_hits = 0;
    u64 guarded = 0;
    std::vector<Bucket> buckets;

    /// The first time over: what a bucket is follows from it.
    void reach(const hv::ExitRecord& exit);
    void divide(size_t into) { buckets.assign(into, {}); }
    /// The second time.
    void count(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who);

    /// In ticks; the last bucket may reach beyond the last exit.
    [[nodiscard]] u64 bucket_width() const { return (last - first) / buckets.size() + 1; }

private:
    void count_enclave(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who);
    void count_guard_hit(const hv::ExitRecord& exit, u64 enclave);
};

inline bool is_enclaves(const hv::ExitRecord& exit) {
    return exit.kind == hv::ExitKind::enclave || exit.kind == hv::ExitKind::delivery;
}

}  // namespace postern::app
