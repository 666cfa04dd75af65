// SPDX-License-Identifier: Apache-2.0
// Leaves of ENCLS and ENCLU in any order, by three processors: an operating system that builds,
// pages, changes and takes apart three enclaves, mostly as it should, with operands a little or
// wholly wrong; enclaves that enter, leave, are interrupted, accept pages and store to their own;
// everybody else trying to reach them; conflicts at random rates. After each step the rules of
// tests/support/epc_invariants.h hold, what faults has changed nothing, and no byte of the EPC nor
// entry of the EPCM has changed but those that the step may change.
// iterations: 1500
// with: tests/support/epc_invariants.cpp tests/unit/cpu/sgx/enclave_machine.cpp
// with: fuzz/sgx/system.cpp fuzz/sgx/threads.cpp
#include "fuzz/sgx/session.h"

namespace postern::cpu::sgx::fuzz {

void Session::judge(const char* step) {
    if (const Breach breach = watch_.look()) broken(step, breach.rule, breach.page);
    if (const Breach breach = first_breach(w_.subject())) broken(step, breach.rule, breach.page);
}

// Choosing.

u64 Session::free_page() {
    return page_with([](const EpcmEntry& e) { return !e.valid; });
}

u64 Session::page_of_type(PageType type) {
    return page_with([&](const EpcmEntry& e) { return e.valid && e.page_type == type; });
}

u64 Session::own_page(const Enclave& e, u64 linear) {
    return page_with([&](const EpcmEntry& entry) {
        return entry.valid && entry.enclave_secs == e.secs_page && entry.enclave_address == linear;
    });
}

/// Mostly the window, where the operating system sees the page.
u64 Session::linear_of(u64 page) {
    if (random_.once_in(60)) return epc_.entries[page].enclave_address;
    return window_of(page);
}

/// Once in a while an operand, or a bit of a structure, is not what it should be.
void Session::spoil(Operands& o) {
    spoilt_ = random_.once_in(12);
    if (!spoilt_) return;
    const u64 bit = u64{1} << random_.below(64), low_bit = u64{1} << random_.below(14);
    switch (random_.below(8)) {
        case 0: o.rbx ^= low_bit; break;
        case 1: o.rcx ^= low_bit; break;
        case 2: o.rdx ^= low_bit; break;
        case 3: o.rcx = window_of(random_.below(pages)); break;
        case 4: o.rcx = random_.once_in(2) ? at::source : at::unmapped; break;
        case 5: w_.ram<u64>(at::pageinfo + 8 * random_.below(4)) ^= bit; break;
        case 6: w_.ram<u64>(at::secinfo + 8 * random_.below(2)) ^= low_bit; break;
        default: w_.ram<u64>(at::source + 8 * random_.below(512)) ^= bit; break;
    }
}

void Session::set_conflicts() {
    for (u64& seed : epc_.conflicts.seed) seed = random_.byte();
    for (u64& rate : epc_.conflicts.rate)
        rate = random_.once_in(3) ? Conflicts::always / (2 + random_.below(30)) : 0;
}

u64 Session::free_slot(u64 va) {
    const u64 first = random_.below(va_slot_count);
    for (u64 n = 0; n < 8; ++n) {
        const u64 offset = (first + n) % va_slot_count * 8;
        if (epc_.at<u64>(va * page_size + offset) == 0) return offset;
    }
    return first * 8;
}

// The instructions.

/// False: it faulted, or is not built yet. Then, and where RAX says so, nothing has changed.
bool Session::run(Cpu& c, Result<> (*instruction)(Cpu&), u32 leaf, const Operands& o) {
    c.gpr[rax] = leaf;
    c.gpr[rbx] = o.rbx;
    c.gpr[rcx] = o.rcx;
    c.gpr[rdx] = o.rdx;
    c.pending = {};
    c.next_rip = c.rip + 3;
    const auto registers = c.gpr;
    const u64 flags = rflags(c);
    const bool was_inside = c.enclave.active;
    if (instruction(c)) return true;
    if (c.gpr != registers || rflags(c) != flags) broken("a faulting leaf", "registers stay", leaf);
    if (c.enclave.active != was_inside) broken("a faulting leaf", "enclave mode stays", leaf);
    if (c.pending.kind != PendingKind::exception && c.pending.kind != PendingKind::unimplemented)
        broken("a faulting leaf", "it says why", leaf);
    return false;
}

/// By a processor that is outside, or becomes so; sometimes by one that is not.
bool Session::encls(EnclsLeaf leaf, Operands o) {
    Cpu& c = processor_outside();
    if (c.enclave.active && !random_.once_in(20)) interrupt(c);
    if (!c.enclave.active) w_.as_kernel(c);
    spoil(o);
    u64 page = 0;
    const EpcmEntry target = w_.resolve(o.rcx, page) ? epc_.entries[page] : EpcmEntry{};
    const bool done = run(c, sgx::encls, static_cast<u32>(leaf), o);
    if (done && c.enclave.active) broken("ENCLS", "it is for CPL 0", c.gpr[rax]);
    // What reports through RAX leaves the leaf's number there only if it is an error's, too.
    const bool reports = leaf != EnclsLeaf::ecreate && leaf != EnclsLeaf::eadd &&
                         leaf != EnclsLeaf::eextend && leaf != EnclsLeaf::epa &&
                         leaf != EnclsLeaf::eaug;
    const bool overwrites = leaf == EnclsLeaf::ewb && c.gpr[rax] == 12;
    const bool succeeded = done && (!reports || c.gpr[rax] == 0 || overwrites);
    tally.count(name_of(leaf), succeeded);
    if (succeeded) allow_encls(leaf, o, target);
    judge(name_of(leaf).data());
    return succeeded;
}

void Session::allow_encls(EnclsLeaf leaf, const Operands& o, const EpcmEntry& target) {
    using enum EnclsLeaf;
    u64 page = 0, other = 0;
    if (!w_.resolve(o.rcx, page)) broken("a leaf that succeeds", "RCX leads to the EPC", o.rcx);
    const bool has_secs = leaf == eadd || leaf == eaug || leaf == eldb || leaf == eldu;
    if (has_secs && w_.resolve(w_.ram<Pageinfo>(at::pageinfo).secs, other)) allow_hidden(other);
    switch (leaf) {
        case einit: return watch_.allow_bytes(page);
        case edbgwr: return watch_.allow_bytes(page, o.rcx % page_size, 8);
        case etrack: return allow_hidden(page);
        case eextend:
            if (w_.resolve(o.rbx, other)) allow_hidden(other);
            return;
        case eblock:
        case emodpr:
        case emodt: return watch_.allow_entry(page);
        case eremove:
        case ewb:
            watch_.allow_entry(page);
            if (target.page_type != PageType::va && target.page_type != PageType::secs)
                allow_hidden(target.enclave_secs);
            break;
        case ecreate:
        case eadd:
        case epa:
        case eaug:
        case eldb:
        case eldu:
            watch_.allow_bytes(page);
            watch_.allow_entry(page);
            break;
        default: return;
    }
    const bool has_slot = leaf == ewb || leaf == eldb || leaf == eldu;
    if (has_slot && w_.resolve(o.rdx, other)) watch_.allow_bytes(other, o.rdx % page_size, 8);
}

bool Session::enclu(Cpu& c, EncluLeaf leaf, Operands o) {
    if (random_.once_in(15)) o.rcx ^= u64{1} << random_.below(16);
    if (random_.once_in(25)) o.rbx ^= u64{1} << random_.below(17);
    if (!c.enclave.active) c.rip = at::outside_code;
    const Enclave before = c.enclave;
    const bool done = run(c, sgx::enclu, static_cast<u32>(leaf), o);
    const bool reports =
        leaf == EncluLeaf::egetkey || leaf == EncluLeaf::eaccept || leaf == EncluLeaf::eacceptcopy;
    const bool succeeded = done && (!reports || c.gpr[rax] == 0);
    tally.count(name_of(leaf), succeeded);
    if (succeeded) allow_enclu(c, leaf, o, before);
    if (done) c.rip = c.next_rip;
    judge(name_of(leaf).data());
    // A fault inside is an exit. Some enclaves go on, as if the instruction had not been there.
    if (!done && c.enclave.active && c.pending.kind == PendingKind::exception &&
        !random_.once_in(10)) {
        interrupt(c);
    }
    return succeeded;
}

void Session::allow_linear(u64 linear, u64 size) {
    u64 page = 0;
    if (w_.resolve(linear, page)) watch_.allow_bytes(page, linear % page_size, size);
}

void Session::allow_enclu(const Cpu& c, EncluLeaf leaf, const Operands& o, const Enclave& before) {
    using enum EncluLeaf;
    u64 page = 0;
    switch (leaf) {
        case eenter:
        case eresume:
            watch_.allow_bytes(c.enclave.tcs_page, 0, 88);
            watch_.allow_bytes(c.enclave.ssa_gpr / page_size, c.enclave.ssa_gpr % page_size, 184);
            return allow_hidden(c.enclave.secs_page);
        case eexit:
            watch_.allow_bytes(before.tcs_page, 0, 8);
            return allow_hidden(before.secs_page);
        case edeccssa: return watch_.allow_bytes(before.tcs_page, 24, 4);
        case ereport: return allow_linear(o.rdx, 432);
        case egetkey: return allow_linear(o.rcx, 16);
        case eacceptcopy: allow_linear(o.rcx, page_size); [[fallthrough]];
        case eaccept:
        case emodpe:
            if (w_.resolve(o.rcx, page)) watch_.allow_entry(page);
            return;
        default: return;
    }
}

void Session::step() {
    Cpu& c = any_processor();
    if (c.enclave.active && !random_.once_in(4)) return inside(c);
    switch (random_.below(16)) {
        case 0: build(random_.below(places)); break;
        case 1:
            add(page_of_type(PageType::secs), free_page(),
                range_of(random_.below(places)) + page_size * random_.below(16),
                reg | random_.below(8));
            break;
        case 2: augment(); break;
        case 3: change_type_or_rights(); break;
        case 4: evict(random_.below(pages)); break;
        case 5: evict(page_of_type(random_.once_in(4) ? PageType::secs : PageType::reg)); break;
        case 6:
        case 7:
            if (Evicted& e = evicted_[random_.below(eviction_places)]; e.used) reload(e);
            break;
        case 8: edit_tables(); break;
        case 9: foreign_access(c); break;
        case 10:
        case 11: lone_leaf(); break;
        default:
            if (!c.enclave.active)
                enter(c);
            else
                inside(c);
    }
}

}  // namespace postern::cpu::sgx::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace postern::cpu::sgx::fuzz;
    static World world;
    static const std::array<postern::u64, 4> signer = postern::cpu::sgx::signer_hash();
    world.start(signer);
    Session session{world, {data, size}};
    for (unsigned n = 0; n < steps_most; ++n) session.step();
    return 0;
}
