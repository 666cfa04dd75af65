// SPDX-License-Identifier: Apache-2.0
// The entries that are not all zero, each with its page's number.
#include "platform/snapshot/epc.h"

#include <algorithm>

namespace postern::platform::snapshot {
namespace {

struct Head {
    u64 next_enclave_id;
    u64 next_page_version;
    cpu::sgx::Conflicts conflicts;
    cpu::sgx::Interruptions interruptions;
};

struct Entry {
    u64 page;
    EpcmEntry entry;
};
static_assert(Plain<Head> && Plain<Entry>);

bool is_zero(const EpcmEntry& entry) {
    return std::ranges::all_of(bytes_of(entry), [](u8 byte) { return byte == 0; });
}

bool is_plausible(const cpu::sgx::Interruptions& i) {
    using When = cpu::sgx::Interruptions::When;
    return i.when <= When::scattered && (i.when != When::every || i.number != 0);
}

bool is_plausible(const Head& head) {
    const auto possible = [](u64 rate) { return rate <= cpu::sgx::Conflicts::always; };
    return head.next_page_version != 0 && std::ranges::all_of(head.conflicts.rate, possible) &&
           is_plausible(head.interruptions);
}

bool is_plausible(const EpcmEntry& e, u64 pages) {
    for (const bool* const value :
         {&e.valid, &e.r, &e.w, &e.x, &e.blocked, &e.pending, &e.modified, &e.pr})
        if (!is_truth(*value)) return false;
    return e.page_type <= PageType::ss_rest && e.enclave_secs < pages;
}

}  // namespace

Bytes save_epc(const cpu::Epc& epc) {
    Bytes bytes;
    append(bytes, bytes_of(Head{epc.next_enclave_id, epc.next_page_version, epc.conflicts,
                                epc.interruptions}));
    for (u64 page = 0; page < epc.entries.size(); ++page)
        if (!is_zero(epc.entries[page])) append(bytes, bytes_of(Entry{page, epc.entries[page]}));
    return bytes;
}

bool plausible_epc(View bytes, const cpu::Epc& epc) {
    const u64 pages = epc.entries.size();
    Cursor cursor{bytes};
    Head head{};
    if (!cursor.take(head) || !is_plausible(head)) return false;
    Entry e{};
    u64 least = 0;
    while (cursor.left() != 0) {
        if (!cursor.take(e) || e.page < least || e.page >= pages || !is_plausible(e.entry, pages))
            return false;
        least = e.page + 1;
    }
    return true;
}

void restore_epc(cpu::Epc& epc, View bytes) {
    Cursor cursor{bytes};
    Head head{};
    static_cast<void>(cursor.take(head));
    epc.next_enclave_id = head.next_enclave_id;
    epc.next_page_version = head.next_page_version;
    epc.conflicts = head.conflicts;
    epc.interruptions = head.interruptions;
    std::ranges::fill(epc.entries, EpcmEntry{});
    Entry e{};
    while (cursor.take(e)) epc.entries[e.page] = e.entry;
}

}  // namespace postern::platform::snapshot
