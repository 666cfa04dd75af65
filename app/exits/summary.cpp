// SPDX-License-Identifier: Apache-2.0
// Adding up.
#include "app/exits/summary.h"

#include <algorithm>

#include "app/exits/names.h"
#include "arch/vmx/interruption_information.h"

namespace postern::app {

namespace {

u16 number_of(const hv::ExitRecord& exit) {
    return static_cast<u16>(ExitReason::from_vmcs(exit.raw_reason).basic());
}

template <class Enum>
size_t index_of(Enum value) {
    return static_cast<size_t>(value);
}

}  // namespace

void EnclaveBook::see(const hv::EnclaveIdentity& enclave) { by_secs_[enclave.secs] = enclave; }

const hv::EnclaveIdentity* EnclaveBook::of(const hv::ExitRecord& exit) const {
    if (!is_enclaves(exit) || exit.secs == 0) return nullptr;
    const auto found = by_secs_.find(exit.secs);
    return found != by_secs_.end() ? &found->second : nullptr;
}

bool ExitFilter::takes(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who) const {
    if (exit.tsc < from || exit.tsc > to) return false;
    if (!reasons.empty() && std::ranges::find(reasons, number_of(exit)) == reasons.end())
        return false;
    if (secs && (!is_enclaves(exit) || exit.secs != *secs)) return false;
    if (number && (who == nullptr || who->number != *number)) return false;
    if (mrenclave.empty()) return true;
    return who != nullptr && mrenclave_text(*who).starts_with(mrenclave);
}

void Summary::reach(const hv::ExitRecord& exit) {
    first = exits == 0 ? exit.tsc : std::min(first, exit.tsc);
    last = exits == 0 ? exit.tsc : std::max(last, exit.tsc);
    ++exits;
}

void Summary::count(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who) {
    const size_t kind = index_of(exit.kind);
    ++by_kind[kind];
    ++by_reason[number_of(exit)][kind];
    ++by_vcpu[exit.vcpu];
    ++by_action[index_of(exit.action)];
    LevelExits& level = by_level[exit.of_l2];
    ++level.exits;
    if (is_enclaves(exit)) ++level.enclave;
    if (exit.action == hv::Action::reflected) ++level.passed_on;
    for (size_t n = 0; n < hv::anomaly_count; ++n)
        if ((exit.anomalies >> n & 1) != 0) ++anomalies[n];
    if (InterruptionInformation::from_raw(exit.injected).valid()) {
        const bool fits = injected.contains(exit.injected) || injected.size() < list_most;
        ++(fits ? injected[exit.injected] : other_injected);
    }
    const bool guarded_exit = exit.action == hv::Action::guarded;
    if (is_enclaves(exit)) count_enclave(exit, who);
    if (guarded_exit) count_guard_hit(exit, who != nullptr ? who->number : 0);
    if (buckets.empty()) return;
    const u64 number = (std::max(exit.tsc, first) - first) / bucket_width();
    Bucket& bucket = buckets[static_cast<size_t>(std::min<u64>(number, buckets.size() - 1))];
    ++bucket.exits;
    if (is_enclaves(exit)) ++bucket.enclave;
    if (guarded_exit) ++bucket.guard_hits;
}

void Summary::count_enclave(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who) {
    const u64 number = who != nullptr ? who->number : 0;
    if (!by_enclave.contains(number) && by_enclave.size() >= list_most) {
        ++other_enclaves;
        return;
    }
    EnclaveExits& row = by_enclave[number];
    if (who != nullptr) row.enclave = *who;
    row.first = row.exits == 0 ? exit.tsc : std::min(row.first, exit.tsc);
    row.last = row.exits == 0 ? exit.tsc : std::max(row.last, exit.tsc);
    ++row.exits;
    ++row.by_kind[index_of(exit.kind)];
    if (exit.action == hv::Action::guarded) ++row.guard_hits;
}

void Summary::count_guard_hit(const hv::ExitRecord& exit, u64 enclave) {
    ++guarded;
    const GuardHit hit{enclave, number_of(exit), exit.rip_or_aep, exit.tcs, exit.guest_physical};
    if (guard_hits.contains(hit) || guard_hits.size() < list_most)
        ++guard_hits[hit];
    else
        ++other_guard_hits;
}

}  // namespace postern::app
