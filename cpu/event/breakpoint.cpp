// SPDX-License-Identifier: Apache-2.0
// Matching the debug registers, and what an enclave suppresses. SDM 3D, "Enclave Code Debug and
// Profiling", "Breakpoint Suppression".
#include "cpu/event/breakpoint.h"

#include "arch/regs/dr7.h"
#include "cpu/mode.h"

namespace postern::cpu {

namespace {

struct Breakpoint {
    BreakpointKind kind;
    u64 first;  // aligned to its length
    u64 length;

    [[nodiscard]] bool overlaps(u64 at, u64 size) const {
        return at - first < length || first - at < size;
    }
    [[nodiscard]] bool watches(bool write) const {
        return kind == BreakpointKind::read_write || (kind == BreakpointKind::write && write);
    }
};

Breakpoint breakpoint(const Cpu& c, unsigned n) {
    const auto dr7 = Dr7Word::from_raw(c.dr7);
    const u64 length = breakpoint_length(dr7, n);
    return {breakpoint_kind(dr7, n), c.dr[n] & ~(length - 1), length};
}

/// B3 to B0 of the enabled breakpoints that `matches` says yes to.
template <class Matches>
u64 matching(const Cpu& c, Matches matches) {
    u64 hits = 0;
    for (unsigned n = 0; n < breakpoint_count; ++n)
        if (breakpoint_enabled(Dr7Word::from_raw(c.dr7), n) && matches(breakpoint(c, n)))
            hits |= u64{1} << n;
    return hits;
}

/// After an opt-out entry data breakpoints in ELRANGE see nothing; those outside go on working.
bool is_suppressed(const Cpu& c, const Breakpoint& b) {
    return c.enclave.active && !c.enclave.debug_opt_in && c.enclave.covers(b.first);
}

}  // namespace

bool watches_data(const Cpu& c) {
    return has_breakpoints(c) && matching(c, [](const Breakpoint& b) { return b.watches(true); });
}

bool is_watched_page(const Cpu& c, Gva linear) {
    return has_breakpoints(c) && matching(c, [&](const Breakpoint& b) {
                                     return b.watches(true) && !is_suppressed(c, b) &&
                                            Gva{b.first}.page() == linear.page();
                                 }) != 0;
}

void note_access_to_watched(Cpu& c, Gva linear, u64 size, bool write) {
    c.event.watch_hits |= matching(c, [&](const Breakpoint& b) {
        return b.watches(write) && !is_suppressed(c, b) && b.overlaps(linear.raw(), size);
    });
}

void note_port_access(Cpu& c, u16 port, unsigned size) {
    if (!has_breakpoints(c) || !c.cr4.has(Cr4::de)) return;
    c.event.watch_hits |= matching(c, [&](const Breakpoint& b) {
        return b.kind == BreakpointKind::io && b.overlaps(port, size);
    });
}

u64 instruction_breakpoints(const Cpu& c) {
    const Enclave& e = c.enclave;
    const u64 at = code_linear(c);
    if (e.active && !(e.debug_opt_in && e.covers(at))) return 0;
    return matching(c, [&](const Breakpoint& b) {
        return b.kind == BreakpointKind::execution && b.first == at;
    });
}

}  // namespace postern::cpu
