// SPDX-License-Identifier: Apache-2.0
// What a hosted guest, whatever it runs, leaves true of the machine beneath it: the hypervisor's
// pages are as the hypervisor left them, EPT leads to the guest's own memory and nowhere else, and
// the run ended in a way that is the guest's affair. Fuzzers ask; a test breaks each rule.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "host/guest.h"

namespace postern::host::test {

/// A rule that does not hold. Converts to true if there is one.
struct Breach {
    std::string rule;
    u64 value = 0;
    explicit operator bool() const { return !rule.empty(); }
};

/// Knows the hypervisor's pages as they were when it was made.
class ReserveWatch {
public:
    explicit ReserveWatch(Guest& guest);

    /// Only tables of EPT, virtual APICs, copies of operands of ENCLS and the x2APIC's part of MSR
    /// bitmaps have changed, and the host's page table maps nothing but itself. A guest writes to
    /// none of them.
    [[nodiscard]] Breach look() const;

private:
    [[nodiscard]] bool is_table(u64 page) const;
    [[nodiscard]] bool is_changed_bitmap(u64 page, const u8* before) const;

    Guest* guest_;
    u64 end_;                               // of the reserve
    std::map<u64, std::vector<u8>> pages_;  // those that were not zero
};

/// Every leaf of EPT maps memory of the guest's map to its own place, every table lies in the
/// pool, and what is neither is a misconfiguration.
Breach ept_maps_only_the_guest(Guest& guest);

/// Physical pages that hold EPT tables, as far as the tables can be followed.
std::vector<u64> ept_tables(Guest& guest);

/// In Watcher::exit(): what the hypervisor keeps of the virtual APIC of the processor that exited,
/// instead of looking at all vectors again, is what its page has.
Breach apic_is_as_kept(Guest& guest, unsigned processor);

/// What is wrong with how a run ended. `by_programs`: nothing ran at CPL 0 but a kernel that does
/// no wrong, so that the guest has to live.
Breach wrong_end(const RunResult& result, bool by_programs);

/// "stop: reason, what, exit reason, detail", for people.
std::string describe(const RunResult& result);

}  // namespace postern::host::test
