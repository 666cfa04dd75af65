// SPDX-License-Identifier: Apache-2.0
// Naming enclaves, and counting their exits.
#include "hv/enclave/enclaves.h"

#include "base/bits.h"

namespace postern::hv {
namespace {

constexpr u64 isolation_bit = u64{1} << 12;

/// SDM 3A, "4-Level Paging and 5-Level Paging", table "Use of CR3".
constexpr u64 root_of(u64 cr3) { return cr3 & bit_mask(51, 12); }

/// Before one whose SECS page another has now, every one that lives.
bool goes_first(const EnclaveTable::Entry& a, const EnclaveTable::Entry& b) {
    return a.lives != b.lives ? b.lives != 0 : a.enclave.number < b.enclave.number;
}

}  // namespace

void EnclaveCounters::count(const ExitRecord& record) {
    ++exits;
    const auto row = static_cast<size_t>(ExitReason::from_vmcs(record.raw_reason).basic());
    if (row < reason_limit) ++by_reason[row][record.kind == ExitKind::delivery ? 1 : 0];
    if (record.action == Action::guarded) ++guard_hits;
    if (record.anomalies != 0) ++anomalies;
}

void EnclaveCounters::add(const EnclaveCounters& other) {
    for (size_t row = 0; row < reason_limit; ++row)
        for (size_t kind = 0; kind < 2; ++kind) by_reason[row][kind] += other.by_reason[row][kind];
    exits += other.exits;
    guard_hits += other.guard_hits;
    anomalies += other.anomalies;
}

void EnclaveTable::created(Gpa secs, Gva base, u64 size, u64 cr3) {
    if (Entry* const before = living(secs.raw()); before != nullptr) before->lives = 0;
    Entry& entry = used() < limit ? state_.entries[used()] : oldest();
    state_.retired.add(entry.counters);  // zeros, of one that is free
    entry = {};
    entry.enclave.number = ++state_.created;
    entry.enclave.secs = secs.raw();
    entry.enclave.base = base.raw();
    entry.enclave.size = size;
    entry.cr3 = cr3;
    entry.lives = 1;
    watcher_.enclave(entry.enclave);
}

void EnclaveTable::initialized(Gpa secs, const u8 (&mrenclave)[32]) {
    Entry* const entry = living(secs.raw());
    if (entry == nullptr) return;
    entry->enclave.initialized = 1;
    for (size_t i = 0; i < entry->enclave.mrenclave.size(); ++i)
        entry->enclave.mrenclave[i] = mrenclave[i];
    watcher_.enclave(entry->enclave);
}

void EnclaveTable::all_removed() {
    for (Entry& entry : state_.entries) entry.lives = 0;
}

const EnclaveTable::Entry* EnclaveTable::find(u64 tcs, u64 cr3) const {
    const Entry* exact = nullptr;
    const Entry* isolated = nullptr;
    for (const Entry& entry : entries()) {
        if (entry.lives == 0 || tcs - entry.enclave.base >= entry.enclave.size) continue;
        const u64 difference = root_of(entry.cr3) ^ root_of(cr3);
        if (difference != 0 && difference != isolation_bit) continue;
        const Entry*& best = difference == 0 ? exact : isolated;
        if (best == nullptr || goes_first(*best, entry)) best = &entry;
    }
    return exact != nullptr ? exact : isolated;
}

void EnclaveTable::count(const ExitRecord& record) {
    Entry* const entry = record.secs != 0 ? living(record.secs) : nullptr;
    (entry != nullptr ? entry->counters : state_.unknown).count(record);
}

EnclaveTable::Entry* EnclaveTable::living(u64 secs) {
    for (size_t i = 0; i < used(); ++i)
        if (state_.entries[i].lives != 0 && state_.entries[i].enclave.secs == secs)
            return &state_.entries[i];
    return nullptr;
}

EnclaveTable::Entry& EnclaveTable::oldest() {
    Entry* found = &state_.entries[0];
    for (Entry& entry : state_.entries)
        if (goes_first(entry, *found)) found = &entry;
    return *found;
}

}  // namespace postern::hv
