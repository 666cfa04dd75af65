// SPDX-License-Identifier: Apache-2.0
// The rules, each by itself and from the manual's words.
#include "support/epc_invariants.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "cpu/mmu/space.h"

namespace postern::cpu::sgx {
namespace {

bool is_child(const EpcmEntry& e) {
    return e.page_type == PageType::reg || e.page_type == PageType::tcs ||
           e.page_type == PageType::trim;
}

bool is_secs(const Epc& epc, u64 page) {
    return page < epc.entries.size() && epc.entries[page].valid &&
           epc.entries[page].page_type == PageType::secs;
}

/// `rule` for the first valid page that breaks it.
template <class Holds>
Breach each_valid_page(const EpcSubject& s, const char* rule, Holds holds) {
    for (u64 page = 0; page < s.epc.entries.size(); ++page)
        if (s.epc.entries[page].valid && !holds(s.epc.entries[page], page)) return {rule, page};
    return {};
}

template <class Matches>
u64 count_processors(const EpcSubject& s, Matches matches) {
    return static_cast<u64>(std::ranges::count_if(
        s.processors, [&](const Cpu* c) { return c->enclave.active && matches(c->enclave); }));
}

}  // namespace

Breach pages_have_a_valid_secs(const EpcSubject& s) {
    return each_valid_page(s, "a page's SECS is a valid SECS", [&](const EpcmEntry& e, u64) {
        if (!is_child(e)) return true;
        if (!is_secs(s.epc, e.enclave_secs)) return false;
        const Secs& secs = s.epc.secs(e.enclave_secs);
        return e.enclave_address % page_size == 0 && e.enclave_address - secs.baseaddr < secs.size;
    });
}

Breach children_are_counted(const EpcSubject& s) {
    return each_valid_page(
        s, "a SECS's child count is the number of its pages", [&](const EpcmEntry& e, u64 page) {
            if (e.page_type != PageType::secs) return true;
            const auto own = [&](const EpcmEntry& other) {
                return other.valid && is_child(other) && other.enclave_secs == page;
            };
            const auto counted = std::ranges::count_if(s.epc.entries, own);
            return s.epc.hidden(page).children == static_cast<u64>(counted);
        });
}

Breach rights_are_of_regular_pages(const EpcSubject& s) {
    return each_valid_page(s, "only REG has rights, and W implies R", [](const EpcmEntry& e, u64) {
        const bool some = e.r || e.w || e.x;
        return (!some || e.page_type == PageType::reg) && (!e.w || e.r);
    });
}

Breach at_most_one_change_waits(const EpcSubject& s) {
    return each_valid_page(s, "PENDING and MODIFIED are never both set",
                           [](const EpcmEntry& e, u64) { return !e.pending || !e.modified; });
}

Breach secs_and_va_are_never_blocked(const EpcSubject& s) {
    return each_valid_page(
        s, "SECS and VA are never BLOCKED, PENDING or MODIFIED", [](const EpcmEntry& e, u64) {
            const bool special = e.page_type == PageType::secs || e.page_type == PageType::va;
            return !special || (!e.blocked && !e.pending && !e.modified && !e.pr);
        });
}

Breach active_threads_have_one_processor(const EpcSubject& s) {
    for (const Cpu* const c : s.processors) {
        if (!c->enclave.active) continue;
        const EpcmEntry& e = s.epc.entries[c->enclave.tcs_page];
        // EMODT may be about to trim it: it stays until the processor has left.
        const bool is_thread = e.valid && (e.page_type == PageType::tcs ||
                                           (e.page_type == PageType::trim && e.modified));
        const bool known =
            is_thread && e.enclave_secs == c->enclave.secs_page &&
            is_secs(s.epc, c->enclave.secs_page) &&
            s.epc.secs(c->enclave.secs_page).attributes.flags.has(SgxAttribute::init);
        if (!known) return {"who is inside is inside a valid thread", c->enclave.tcs_page};
    }
    return each_valid_page(
        s, "an active TCS has exactly one processor inside", [&](const EpcmEntry& e, u64 page) {
            // What becomes a TCS by EMODT is one once EACCEPT has looked at it.
            if (e.page_type != PageType::tcs || e.modified) return true;
            const u64 inside = count_processors(
                s, [&](const Enclave& enclave) { return enclave.tcs_page == page; });
            return inside == (s.epc.tcs(page).state == TcsState::active ? 1u : 0u);
        });
}

Breach tracking_counts_processors(const EpcSubject& s) {
    return each_valid_page(
        s, "tracking counts the processors inside", [&](const EpcmEntry& e, u64 page) {
            if (e.page_type != PageType::secs) return true;
            const SecsHidden& h = s.epc.hidden(page);
            const auto entered_in = [&](u64 epoch) {
                return count_processors(s, [&](const Enclave& enclave) {
                    return enclave.secs_page == page && enclave.entry_epoch == epoch;
                });
            };
            const u64 inside = count_processors(
                s, [&](const Enclave& enclave) { return enclave.secs_page == page; });
            return h.active_threads == inside &&
                   h.tracking.inside_now == entered_in(h.tracking.epoch) &&
                   h.tracking.inside_previous == entered_in(h.tracking.epoch - 1) &&
                   u64{h.tracking.inside_now} + h.tracking.inside_previous == inside;
        });
}

namespace {

constexpr u32 tlb_any = tlb_reads | tlb_writes | tlb_executes;

struct Translates {
    const Cpu& c;
    u64 linear, page;
    u32 flags;
    bool by_enclave;  // in an array that enclaves use, of the space in use
};

/// `holds` for every translation that leads into the EPC.
template <class Holds>
Breach each_translation(const EpcSubject& s, const char* rule, Holds holds) {
    const u64 first = reinterpret_cast<u64>(s.epc.bytes);
    for (const Cpu* const c : s.processors) {
        for (unsigned space = 0; space < tlb_spaces; ++space) {
            if (!c->translations[space].ready) continue;
            for (unsigned context = 0; context < tlb_contexts; ++context) {
                const Tlb& tlb = c->translations[space].tlb[context];
                const bool by_enclave = c->enclave.active && space == c->spaces.current &&
                                        (context == tlb_enclave || context == tlb_checked);
                for (unsigned n = 0; n < tlb.filled_count; ++n) {
                    const unsigned slot = tlb.filled[n];
                    const u64 offset = tlb.entry[slot].page - first;
                    const u32 flags = tlb.info[slot].flags & tlb_any;
                    if (flags == 0 || offset >= s.epc.size) continue;
                    const Translates t{*c, tlb.info[slot].linear, offset / page_size, flags,
                                       by_enclave};
                    if (!holds(t)) return {rule, t.page};
                }
            }
        }
    }
    return {};
}

}  // namespace

Breach translations_stay_in_their_enclave(const EpcSubject& s) {
    return each_translation(
        s, "only an enclave's own translations lead into the EPC",
        [](const Translates& t) { return t.by_enclave && t.c.enclave.covers(t.linear); });
}

Breach translations_do_not_outlive_their_page(const EpcSubject& s) {
    return each_translation(
        s, "a translation leads to a page that the enclave has there", [&](const Translates& t) {
            const EpcmEntry& e = s.epc.entries[t.page];
            const bool own = e.valid && is_child(e) && e.enclave_secs == t.c.enclave.secs_page &&
                             e.enclave_address == t.linear;
            if (!own || e.pending) return false;
            // Until EACCEPT has seen the tracking done, rights taken away may still be used.
            if (e.blocked || e.modified || e.pr) return true;
            return e.page_type == PageType::reg && (e.r || (t.flags & tlb_reads) == 0) &&
                   (e.w || (t.flags & tlb_writes) == 0) && (e.x || (t.flags & tlb_executes) == 0);
        });
}

namespace {
constexpr std::array rows{
    InvariantRow{"PagesHaveAValidSecs", pages_have_a_valid_secs},
    InvariantRow{"ChildrenAreCounted", children_are_counted},
    InvariantRow{"RightsAreOfRegularPages", rights_are_of_regular_pages},
    InvariantRow{"AtMostOneChangeWaits", at_most_one_change_waits},
    InvariantRow{"SecsAndVaAreNeverBlocked", secs_and_va_are_never_blocked},
    InvariantRow{"ActiveThreadsHaveOneProcessor", active_threads_have_one_processor},
    InvariantRow{"TrackingCountsProcessors", tracking_counts_processors},
    InvariantRow{"TranslationsStayInTheirEnclave", translations_stay_in_their_enclave},
    InvariantRow{"TranslationsDoNotOutliveTheirPage", translations_do_not_outlive_their_page},
};
}  // namespace

std::span<const InvariantRow> epc_invariants() { return rows; }

Breach first_breach(const EpcSubject& s) {
    for (const InvariantRow& row : rows)
        if (const Breach breach = row.check(s)) return breach;
    return {};
}

EpcWatch::EpcWatch(const Epc& epc) : epc_{epc} { static_cast<void>(look()); }

void EpcWatch::allow_bytes(u64 page, u64 offset, u64 size) {
    byte_ranges_.push_back({page * page_size + offset, size});
}

void EpcWatch::allow_entry(u64 page) { changeable_.push_back(page); }

bool EpcWatch::may_change(u64 byte) const {
    return std::ranges::any_of(byte_ranges_,
                               [&](const Range& r) { return byte - r.from < r.size; });
}

Breach EpcWatch::compare_bytes() const {
    for (u64 page = 0; page * page_size < bytes_.size(); ++page) {
        const u64 first = page * page_size;
        if (std::memcmp(&bytes_[first], epc_.bytes + first, page_size) == 0) continue;
        for (u64 byte = first; byte < first + page_size; ++byte)
            if (bytes_[byte] != epc_.bytes[byte] && !may_change(byte))
                return {"a byte of the EPC changed", page};
    }
    return {};
}

Breach EpcWatch::compare_entries() const {
    for (u64 page = 0; page < entries_.size(); ++page) {
        const bool same = std::memcmp(&entries_[page], &epc_.entries[page], sizeof(EpcmEntry)) == 0;
        if (!same && std::ranges::find(changeable_, page) == changeable_.end())
            return {"an EPCM entry changed", page};
    }
    return {};
}

Breach EpcWatch::look() {
    Breach breach = bytes_.empty() ? Breach{} : compare_bytes();
    if (!breach && !entries_.empty()) breach = compare_entries();
    bytes_.assign(epc_.bytes, epc_.bytes + epc_.size);
    entries_ = epc_.entries;
    byte_ranges_.clear();
    changeable_.clear();
    return breach;
}

}  // namespace postern::cpu::sgx
