// SPDX-License-Identifier: Apache-2.0
// Counting to the next interruption.
#include "cpu/sgx/interruption.h"

#include "base/scramble.h"
#include "cpu/cpu.h"
#include "cpu/sgx/epc.h"

namespace postern::cpu::sgx {
namespace {

using When = Interruptions::When;

constexpr unsigned magnitudes = 14;

/// The first that is still to come.
u64 next_due(Interruptions& i) {
    switch (i.when) {
        case When::never:
        case When::at: return Interruptions::none;
        case When::every: return (i.retired / i.number + 1) * i.number;
        case When::scattered: return i.retired + distance_to_next(i.number, i.drawn++);
    }
    return Interruptions::none;
}

}  // namespace

u64 distance_to_next(u64 seed, u64 index) {
    const u64 random = scramble(seed + index * golden_step);
    const u64 least = u64{1} << ((random >> 32) * magnitudes >> 32);
    return least + (random & (least - 1));
}

void set_interruptions(Interruptions& interruptions, When when, u64 number) {
    if (interruptions.when == when && interruptions.number == number) return;
    interruptions = {};
    interruptions.when = when;
    interruptions.number = number;
    interruptions.due = when == When::at ? number : next_due(interruptions);
}

u64 instructions_to_next(const Interruptions& interruptions) {
    if (interruptions.due <= interruptions.retired) return 1;
    return interruptions.due - interruptions.retired;
}

bool note_retired(Interruptions& interruptions, u64 count) {
    interruptions.retired += count;
    return interruptions.retired >= interruptions.due;
}

void note_taken(Interruptions& interruptions) {
    ++interruptions.given;
    interruptions.due = next_due(interruptions);
}

u64 instructions_to_interruption(const Cpu& c) {
    const Interruptions& i = c.system->epc->interruptions;
    return i.when == When::never ? Interruptions::none : instructions_to_next(i);
}

void count_retired(Cpu& c, u64 count) {
    Interruptions& i = c.system->epc->interruptions;
    if (i.when == When::never) return;
    const bool due = note_retired(i, count);
    i.pending_on = due && count != 0 && c.enclave.active ? c.number : Interruptions::nobody;
}

bool take_interruption(Cpu& c) {
    Interruptions& i = c.system->epc->interruptions;
    if (i.pending_on != c.number) return false;
    i.pending_on = Interruptions::nobody;
    if (c.vmx.hosted) i.host_tick = 1;
    note_taken(i);
    return true;
}

}  // namespace postern::cpu::sgx
