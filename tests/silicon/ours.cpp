// SPDX-License-Identifier: Apache-2.0
// The machine has every feature, so that what the host can do is compared.
#include "silicon/ours.h"

#include <algorithm>
#include <cstring>

#include "cpu/flags.h"
#include "cpu/mmu/access.h"

namespace postern::silicon {
namespace {

using namespace cpu;

constexpr u64 scratch_physical = guest_at::spare;
constexpr u64 code_physical = guest_at::spare + 0x1'0000;
constexpr u64 most_instructions = 200;  // REP counts its iterations

}  // namespace

Ours::Ours() {
    for (u64 at = 0; at < scratch_size; at += page_size)
        machine_.map(scratch + at, scratch_physical + at, pte_present | pte_write | pte_user);
    for (u64 at = 0; at < code_size; at += page_size)
        machine_.map(code + at, code_physical + at, pte_present | pte_user);
    machine_.write(code_physical + far_target - code, GuestCode::int80);
}

void Ours::prepare(const Case& k, u64 variant) {
    std::memcpy(machine_.ram(scratch_physical), plain_memory().data(), scratch_size);
    std::memcpy(machine_.ram(scratch_physical + k.operand_at - scratch), k.operand.data(),
                k.operand.size());
    const u64 at = code_physical + k.before.rip - code;
    machine_.write(at, {k.bytes.data(), k.length});
    machine_.write(at + k.length, GuestCode::int80);
    machine_.write(at + near_distance, GuestCode::int80);
    machine_.set_cpl(3);
    if ((variant & 2) != 0) flush_translations(machine_.c);
    Cpu& c = machine_.c;
    machine_.set_plain_state(k.before.rip);
    std::copy_n(k.before.gpr.begin(), 16, c.gpr.begin());
    set_rflags(c, k.before.rflags);
    for (unsigned n = 0; n < 16; ++n)
        std::memcpy(c.vector.zmm[n].bytes.data(), k.before.xmm[n].data(), sizeof(Xmm));
    c.vector.mxcsr = k.before.mxcsr;
}

bool Ours::run(const Case& k, u64 variant, Outcome& o) {
    prepare(k, variant);
    const GuestStop stop = machine_.run(most_instructions, (variant & 1) != 0 ? 1 : ~u64{0});
    if (stop.outcome != RunOutcome::halted) return false;
    std::copy_n(stop.state.gpr.begin(), 16, o.after.gpr.begin());
    o.after.rip = stop.state.rip;
    o.after.rflags = stop.state.rflags;
    for (unsigned n = 0; n < 16; ++n)
        std::memcpy(o.after.xmm[n].data(), machine_.c.vector.zmm[n].bytes.data(), sizeof(Xmm));
    o.after.mxcsr = machine_.c.vector.mxcsr;
    o.vector = stop.fault ? static_cast<int>(stop.fault->vector) : -1;
    o.error_code = stop.fault ? stop.fault->error_code : 0;
    o.cr2 = stop.fault ? stop.fault->cr2 : 0;
    std::memcpy(o.memory.data(), machine_.ram(scratch_physical), scratch_size);
    return true;
}

}  // namespace postern::silicon
