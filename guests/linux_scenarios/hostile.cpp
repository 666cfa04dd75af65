// SPDX-License-Identifier: Apache-2.0
// A process whose enclave is interrupted all the time, and one that only hashes. Linux shares the
// processor between them.
#include "guests/linux_scenarios/hostile.h"

#include <signal.h>
#include <x86intrin.h>

#include "guests/enclave_layout.h"
#include "guests/every_exit/hostile.h"
#include "guests/every_exit/session.h"
#include "guests/runtime/enclu.h"
#include "guests/sha256.h"

namespace postern::guests {
namespace {

volatile sig_atomic_t over;

void hash_page(u8 (&digest)[32]) {
    u8 page[layout::page];
    for (u64 i = 0; i < layout::page; ++i) page[i] = layout::pattern_byte(i);
    Sha256 sha;
    sha.add(page, sizeof page);
    sha.finish(digest);
}

bool equal(const u8 (&one)[32], const u8 (&other)[32]) {
    u8 difference = 0;
    for (u32 i = 0; i < sizeof one; ++i)
        difference = static_cast<u8>(difference | (one[i] ^ other[i]));
    return difference == 0;
}

}  // namespace

void run_hostile() {
    session.side_mark = "";
    session.name = "hostile";
    signal(SIGTERM, [](int) { over = 1; });
    begin_hostile_calls();
    print_number("start", 1);
    u64 entries = 0;
    while (over == 0) entries += hostile_calls();
    const EventLog& log = orders().events;
    print_number("entries", entries);
    print_number("count", log.count);
    print_number("rip_is_aep", log.all_at_aep);
    print_number("synthetic", log.all_synthetic);
    print_number("xmm_clear", log.vectors_clear);
    print_number("resumes", resume_count);
    ProbeCall call = call_for(Instruction::nothing, Target::scratch);
    enter(ProbeFunction::hash, call, false);
    print_digest("digest", call.digest);
}

void run_hashing(u64 pages) {
    session.side_mark = "";
    session.name = "hashing";
    u8 first[32], digest[32];
    hash_page(first);
    u64 right = 0;
    const u64 before = __rdtsc();
    for (u64 i = 0; i < pages; ++i) {
        hash_page(digest);
        if (equal(digest, first)) ++right;
    }
    print_number("ticks", __rdtsc() - before);
    print_number("digests", pages);
    print_number("ok", right);
    print_digest("digest", first);
}

}  // namespace postern::guests
