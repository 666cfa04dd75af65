// SPDX-License-Identifier: Apache-2.0
// Arming and waking.
#include "cpu/mmu/monitor.h"

#include "cpu/decode/block_cache.h"
#include "cpu/mmu/access.h"

namespace postern::cpu {

namespace {

template <class F>
bool any_armed(const System& system, F matches) {
    for (unsigned n = 0; n < system.processor_count; ++n) {
        const Cpu& p = *system.processors[n];
        if (p.monitor.armed && matches(p)) return true;
    }
    return false;
}

const u8* bytes_of(const System& system, const Monitor& monitor) {
    return system.memory.pointer(Hpa{monitor.line});
}

u64 page_of(const u8* bytes) { return reinterpret_cast<u64>(bytes) & ~(page_size - 1); }

}  // namespace

void arm_monitor(Cpu& c, Hpa address, const u8* bytes) {
    c.monitor = {};
    c.monitor.line = address.raw() & ~(monitor_line - 1);
    c.monitor.armed = true;
    if (c.system->processor_count > 1) withhold_writes(c, page_of(bytes));
}

void disarm_monitor(Cpu& c) { c.monitor = {}; }

bool is_monitored_page(const System& system, const u8* bytes) {
    return any_armed(system, [&](const Cpu& p) {
        return page_of(bytes_of(system, p.monitor)) == page_of(bytes);
    });
}

void wake_monitors(System& system, const Cpu* by, const u8* bytes, u64 size) {
    for (unsigned n = 0; n < system.processor_count; ++n) {
        Cpu& p = *system.processors[n];
        if (!p.monitor.armed || &p == by) continue;
        const u8* line = bytes_of(system, p.monitor);
        if (bytes + size <= line || line + monitor_line <= bytes) continue;
        if (p.monitor.waiting) p.event.activity = ActivityState::active;
        disarm_monitor(p);
    }
}

}  // namespace postern::cpu
