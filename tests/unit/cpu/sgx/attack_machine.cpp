// SPDX-License-Identifier: Apache-2.0
// Building the enclave and small pieces of code.
#include "unit/cpu/sgx/attack_machine.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "arch/msr.h"
#include "arch/sgx/pageinfo.h"
#include "arch/sgx/tcs.h"
#include "cpu/decode/block_cache.h"
#include "cpu/mmu/access.h"

namespace postern::cpu::sgx::attack {
namespace {

// Operands of leaves, in RAM that no test uses.
constexpr u64 pageinfo_at = guest_at::spare, secinfo_at = guest_at::spare + 0x40;
constexpr u64 source_at = guest_at::spare + 0x1000;
constexpr u64 everything = pte_present | pte_write | pte_user;
constexpr u64 tcs_flags = 0x100, rw = 0x203, rx = 0x205, rwx = 0x207;
constexpr Bytes::value_type int80_code[] = {0xcd, 0x80};

}  // namespace

Bytes join(std::initializer_list<Bytes> parts) {
    Bytes all;
    for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

Bytes mov(Gpr to, u64 value) {
    Bytes code{static_cast<u8>(0x48 | (to >= r8 ? 1 : 0)), static_cast<u8>(0xb8 | (to & 7))};
    for (unsigned n = 0; n < 8; ++n) code.push_back(static_cast<u8>(value >> (8 * n)));
    return code;
}

Bytes enclu_bytes(EncluLeaf leaf, u64 rbx_value, u64 rcx_value) {
    return join({mov(rax, static_cast<u64>(leaf)),
                 mov(rbx, rbx_value),
                 mov(rcx, rcx_value),
                 {0x0f, 0x01, 0xd7}});
}

Bytes enter_bytes() { return enclu_bytes(EncluLeaf::eenter, tcs_at, aep); }
Bytes resume_bytes() { return enclu_bytes(EncluLeaf::eresume, tcs_at, aep); }
Bytes exit_bytes() { return enclu_bytes(EncluLeaf::eexit, after_exit, 0); }

AttackMachine::AttackMachine(const Bytes& inside) {
    system.memory.epc_base = epc_physical;
    system.memory.epc_size = epc.size;
    system.epc = &epc;
    c.cr4.set(Cr4::fsgsbase);
    c.msr.feature_control =
        FeatureControlWord{FeatureControl::lock, FeatureControl::sgx_lc, FeatureControl::sgx_enable}
            .to_raw();
    for (u64 n = 0; n < epc_pages; ++n) map(window_of(n), physical_of(n), everything);
    for (const u64 end : {aep, second_aep, after_exit}) write(end, int80_code);
    build(inside);
}

bool AttackMachine::encls(EnclsLeaf leaf, u64 rbx_value, u64 rcx_value, u64 rdx_value) {
    const u32 cpl = c.cpl;
    const auto registers = c.gpr;
    c.cpl = 0;
    c.gpr[rax] = static_cast<u64>(leaf);
    c.gpr[rbx] = rbx_value;
    c.gpr[rcx] = rcx_value;
    c.gpr[rdx] = rdx_value;
    c.pending = {};
    const bool completed = sgx::encls(c).ok();
    const bool reports = leaf != EnclsLeaf::ecreate && leaf != EnclsLeaf::eadd &&
                         leaf != EnclsLeaf::epa && leaf != EnclsLeaf::eaug &&
                         leaf != EnclsLeaf::eextend;
    const bool succeeded = completed && (!reports || c.gpr[rax] == 0);
    c.gpr = registers;
    c.cpl = cpl;
    c.pending = {};
    return succeeded;
}

void AttackMachine::create(u64 page, u64 base) {
    at<Pageinfo>(pageinfo_at) = {0, source_at, secinfo_at, 0};
    at<Secinfo>(secinfo_at) = {};
    Secs& source = at<Secs>(source_at);
    source = {};
    source.size = range_size;
    source.baseaddr = base;
    source.ssaframesize = 1;
    source.attributes.flags = {SgxAttribute::mode64bit};
    source.attributes.xfrm = {Xcr0::x87, Xcr0::sse};
    if (!encls(EnclsLeaf::ecreate, pageinfo_at, window_of(page))) std::abort();
}

void AttackMachine::add(u64 secs, u64 page, u64 linear, u64 secinfo_flags, const Bytes& content) {
    at<Pageinfo>(pageinfo_at) = {linear, source_at, secinfo_at, window_of(secs)};
    at<Secinfo>(secinfo_at) = {};
    at<Secinfo>(secinfo_at).flags = SecinfoFlags::from_raw(secinfo_flags);
    std::memset(ram(source_at), 0, page_size);
    std::ranges::copy(content, ram(source_at));
    if (!encls(EnclsLeaf::eadd, pageinfo_at, window_of(page))) std::abort();
    map(linear, physical_of(page), everything);
}

/// EINIT has tests of its own: the enclave is initialised by its SECS's attribute.
void AttackMachine::build(const Bytes& inside) {
    const auto thread = [](u64 ssa) {
        Bytes page(page_size);
        Tcs tcs{};
        tcs.ossa = ssa - range;
        tcs.nssa = ssa == ssa_at ? 2 : 1;
        tcs.oentry = code_at - range;
        tcs.fslimit = tcs.gslimit = 0xfff;
        std::memcpy(page.data(), &tcs, sizeof tcs);
        return page;
    };
    create(secs_page, range);
    add(secs_page, tcs_page, tcs_at, tcs_flags, thread(ssa_at));
    add(secs_page, code_page, code_at, rx, inside);
    add(secs_page, ssa_page, ssa_at, rw, {});
    add(secs_page, ssa_page + 1, ssa_at + page_size, rw, {});
    add(secs_page, data_page, data_at, rw, Bytes(page_size, secret));
    add(secs_page, both_page, both_at, rwx, Bytes(page_size, secret));
    add(secs_page, second_tcs_page, second_tcs_at, tcs_flags, thread(second_ssa_at));
    add(secs_page, second_ssa_page, second_ssa_at, rw, {});
    create(other_secs_page, other_range);
    add(other_secs_page, other_data_page, other_range, rw, Bytes(page_size, secret));
    for (const u64 page : {secs_page, other_secs_page})
        epc.secs(page).attributes.flags.set(SgxAttribute::init);
}

GuestStop AttackMachine::run_outside(u32 cpl, const Bytes& code, u64 limit) {
    const auto registers = c.gpr;
    set_plain_state(outside);
    for (const Gpr kept : {rsi, rdi, rcx, rax, rdx, rbx}) c.gpr[kept] = registers[kept];
    set_cpl(cpl);
    write(outside, code);
    write(outside + code.size(), int80_code);
    return GuestCode::run(limit);
}

void AttackMachine::go_inside() {
    set_plain_state(outside);
    set_cpl(3);
    const Bytes code = enter_bytes();
    write(outside, code);
    GuestCode::run(4);
    if (!c.enclave.active) std::abort();
}

}  // namespace postern::cpu::sgx::attack
