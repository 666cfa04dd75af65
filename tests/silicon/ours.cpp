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
constexpr u64 read_only_physical = guest_at::spare + 0x8000;
constexpr u64 code_physical = guest_at::spare + 0x1'0000;
constexpr u64 most_instructions = 200;  // REP counts its iterations

}  // namespace

Ours::Ours() {
    for (u64 at = 0; at < scratch_size; at += page_size)
        machine_.map(scratch + at, scratch_physical + at, pte_present | pte_write | pte_user);
    machine_.map(read_only, read_only_physical, pte_present | pte_user);
    std::memcpy(machine_.ram(read_only_physical), plain_memory().data(), read_only_size);
    for (u64 at = 0; at < code_size; at += page_size)
        machine_.map(code + at, code_physical + at, pte_present | pte_user);
    machine_.write(code_physical + far_target - code, GuestCode::int80);
    machine_.c.cr4.set(Cr4::osxsave);
    machine_.c.xcr0 = 7;  // x87, SSE, AVX
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
    c.segment[gs].base = c.gpr[row_gs_base] = gs_base;
    machine_.set_plain_state(k.before.rip);
    std::copy_n(k.before.gpr.begin(), 16, c.gpr.begin());
    set_rflags(c, k.before.rflags);
    for (unsigned n = 0; n < 16; ++n)
        std::memcpy(c.vector.zmm[n].bytes.data(), k.before.ymm[n].data(), sizeof(Ymm));
    c.vector.mxcsr = k.before.mxcsr;
    const X87& x87 = k.before.x87;
    c.vector.x87 = {.fcw = x87.fcw, .fsw = x87.fsw, .tag = x87.tag, .reserved = {}, .st = {}};
    for (unsigned n = 0; n < 8; ++n) std::ranges::copy(x87.st[n], c.vector.x87.st[n].begin());
}

bool Ours::run(const Case& k, u64 variant, Outcome& o) {
    prepare(k, variant);
    const GuestStop stop = machine_.run(most_instructions, (variant & 1) != 0 ? 1 : ~u64{0});
    if (stop.outcome != RunOutcome::halted) return false;
    std::copy_n(stop.state.gpr.begin(), 16, o.after.gpr.begin());
    o.after.rip = stop.state.rip;
    o.after.rflags = stop.state.rflags;
    const VectorState& vector = machine_.c.vector;
    for (unsigned n = 0; n < 16; ++n)
        std::memcpy(o.after.ymm[n].data(), vector.zmm[n].bytes.data(), sizeof(Ymm));
    o.after.mxcsr = vector.mxcsr;
    X87& x87 = o.after.x87;
    x87 = {.fcw = vector.x87.fcw, .fsw = vector.x87.fsw, .tag = vector.x87.tag, .st = {}};
    for (unsigned n = 0; n < 8; ++n)
        std::copy_n(vector.x87.st[n].begin(), x87.st[n].size(), x87.st[n].begin());
    o.vector = stop.fault ? static_cast<int>(stop.fault->vector) : -1;
    o.error_code = stop.fault ? stop.fault->error_code : 0;
    o.cr2 = stop.fault ? stop.fault->cr2 : 0;
    std::memcpy(o.memory.data(), machine_.ram(scratch_physical), scratch_size);
    return true;
}

}  // namespace postern::silicon
