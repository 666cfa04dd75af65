// SPDX-License-Identifier: Apache-2.0
// What holds of the EPC, of the EPCM and of the processors between any two instructions,
// whatever software does; and a watch on who changes the EPC's bytes.
#pragma once

#include <span>
#include <vector>

#include "cpu/cpu.h"
#include "cpu/sgx/epc.h"

namespace postern::cpu::sgx {

struct EpcSubject {
    const Epc& epc;
    std::span<const Cpu* const> processors;
};

/// A rule that does not hold, and of which EPC page. Converts to true if there is one.
struct Breach {
    const char* rule = nullptr;
    u64 page = 0;
    explicit operator bool() const { return rule != nullptr; }
};

/// The SECS of a valid REG, TCS or TRIM page is a valid SECS, and the page lies in its ELRANGE.
Breach pages_have_a_valid_secs(const EpcSubject& s);
/// A SECS's child count is the number of valid pages that name it.
Breach children_are_counted(const EpcSubject& s);
/// Only REG has R, W or X, and W implies R.
Breach rights_are_of_regular_pages(const EpcSubject& s);
/// PENDING and MODIFIED are never both set.
Breach at_most_one_change_waits(const EpcSubject& s);
/// SECS and VA pages are never BLOCKED, PENDING or MODIFIED.
Breach secs_and_va_are_never_blocked(const EpcSubject& s);
/// An active TCS has exactly one processor inside, an inactive one none; who is inside is inside
/// a valid thread of a valid, initialised enclave.
Breach active_threads_have_one_processor(const EpcSubject& s);
/// What a SECS counts of its threads is how many processors are inside, by epoch too.
Breach tracking_counts_processors(const EpcSubject& s);
/// Outside, no translation of any kind leads into the EPC; inside, only the enclave's own.
Breach translations_stay_in_their_enclave(const EpcSubject& s);
/// A translation leads to a valid page that its enclave has at that address, and grants no more
/// than the EPCM, unless the page is blocked or being modified.
Breach translations_do_not_outlive_their_page(const EpcSubject& s);

struct InvariantRow {
    const char* name;
    Breach (*check)(const EpcSubject&);
};
std::span<const InvariantRow> epc_invariants();

/// The first that does not hold.
Breach first_breach(const EpcSubject& s);

/// Knows every byte of the EPC and every EPCM entry as they were at the last look.
class EpcWatch {
public:
    explicit EpcWatch(const Epc& epc);

    /// The step about to be judged may change these bytes, or this page's EPCM entry.
    void allow_bytes(u64 page, u64 offset = 0, u64 size = page_size);
    void allow_entry(u64 page);

    /// What has changed that was not allowed to. What is there now is what the next look is held
    /// against, and nothing is allowed any more.
    Breach look();

private:
    struct Range {
        u64 from, size;
    };
    [[nodiscard]] bool may_change(u64 byte) const;
    Breach compare_bytes() const;
    Breach compare_entries() const;

    const Epc& epc_;
    std::vector<u8> bytes_;
    std::vector<EpcmEntry> entries_;
    std::vector<Range> byte_ranges_;
    std::vector<u64> changeable_;
};

}  // namespace postern::cpu::sgx
