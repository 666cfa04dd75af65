// SPDX-License-Identifier: Apache-2.0
// Leaves of ENCLS and ENCLU in any order, by three processors: an operating system that builds,
// pages, changes and takes apart three enclaves, mostly as it should, with operands a little or
// wholly wrong; enclaves that enter, leave, are interrupted, accept pages and store to their own;
// everybody else trying to reach them; conflicts at random rates. After each step the rules of
// tests/support/epc_invariants.h hold, what faults has changed nothing, and no byte of the EPC nor
// entry of the EPCM has changed but those that the step may change.
// iterations: 1500
// with: tests/support/epc_invariants.cpp tests/unit/cpu/sgx/enclave_machine.cpp
#include "fuzz/sgx_world.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>

#include "arch/sgx/keyrequest.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx::fuzz {
namespace {

constexpr unsigned steps_most = 250;
constexpr u64 eviction_places = 16;

// The shape of every enclave: offsets in ELRANGE.
constexpr std::array<u64, 2> tcs_offsets{0x0000, 0x1000};
constexpr u64 ssa_offset_of(u64 thread) { return 0x2000 + thread * 0x2000; }  // two frames
constexpr u64 data_at = 0x6000, code_at = 0x7000, free_at = 0x8000;

constexpr u64 reg = 0x200, tcs = 0x100, trim = 0x400;
constexpr u64 r = 1, w = 2, x = 4, pending = 8, modified = 16, pr = 32;

/// How often each leaf was tried and did what it is for; printed at the end, because a fuzzer all
/// of whose leaves fail finds nothing.
class Tally {
public:
    Tally() = default;
    ~Tally() {
        for (const auto& [name, row] : rows_)
            std::printf("%-12s %9llu tried %9llu done\n", name.c_str(), row[0], row[1]);
    }
    Tally(const Tally&) = delete;
    Tally& operator=(const Tally&) = delete;
    void count(std::string_view name, bool done) {
        auto& row = rows_[std::string{name}];
        ++row[0];
        row[1] += done ? 1 : 0;
    }

private:
    std::map<std::string, std::array<unsigned long long, 2>> rows_;
};
Tally tally;

/// A page that EWB wrote out.
struct Evicted {
    bool used = false;
    bool loaded = false;  // tried again, it is a replay
    u64 va_page = 0, va_slot = 0;
    EpcmEntry entry{};
    std::array<u8, page_size> plain{};
};

class Session {
public:
    explicit Session(World& world, std::span<const u8> input)
        : w_{world}, random_{input}, epc_{world.epc}, watch_{world.epc} {
        set_conflicts();
        build(0);
        for (unsigned n = 0; n < 3; ++n) add_version_array();
    }

    void step();

private:
    struct Operands {
        u64 rbx = 0, rcx = 0, rdx = 0;
    };

    // The instructions, judged.
    bool encls(EnclsLeaf leaf, Operands o);
    bool enclu(Cpu& c, EncluLeaf leaf, Operands o);
    bool run(Cpu& c, Result<> (*instruction)(Cpu&), u32 leaf, const Operands& o);
    void allow_encls(EnclsLeaf leaf, const Operands& o, const EpcmEntry& target);
    void allow_enclu(const Cpu& c, EncluLeaf leaf, const Operands& o, const Enclave& before);
    void allow_hidden(u64 secs) {
        watch_.allow_bytes(secs, secs_hidden_offset, sizeof(SecsHidden));
    }
    void allow_linear(u64 linear, u64 size);
    void judge(const char* step);

    // The operating system's steps.
    void build(u64 place);
    void create(u64 place);
    void add(u64 secs, u64 page, u64 linear, u64 flags);
    void initialise(u64 secs);
    void add_version_array();
    void evict(u64 page);
    void reload(Evicted& evicted);
    void augment();
    void change_type_or_rights();
    void lone_leaf();
    void edit_tables();

    // Threads.
    void enter(Cpu& c);
    void interrupt(Cpu& c);
    void interrupt_all();
    void inside(Cpu& c);
    void accept(Cpu& c);
    void ask_for_keys(Cpu& c);
    void ask_for_notice(const Cpu& c);
    void own_access(Cpu& c);
    void foreign_access(Cpu& c);

    // Choosing.
    Cpu& any_processor() { return w_.processor(random_.below(processors)); }
    /// If there is one at once: others are left where they are.
    Cpu& processor_outside() {
        const u64 first = random_.below(processors);
        for (u64 n = 0; n < processors; ++n) {
            Cpu& c = w_.processor((first + n) % processors);
            if (!c.enclave.active) return c;
        }
        return w_.processor(first);
    }
    template <class Wanted>
    u64 page_with(Wanted wanted);
    u64 free_page();
    u64 page_of_type(PageType type);
    u64 own_page(const Enclave& e, u64 linear);
    u64 linear_of(u64 page);
    void spoil(Operands& o);
    void set_conflicts();
    u64 free_slot(u64 va);
    void write_secinfo(u64 flags) {
        w_.ram<Secinfo>(at::secinfo) = {};
        w_.ram<Secinfo>(at::secinfo).flags = SecinfoFlags::from_raw(flags);
    }
    void write_secinfo_inside(const Enclave& e, u64 flags);

    World& w_;
    Random random_;
    Epc& epc_;
    EpcWatch watch_;
    bool spoilt_ = false;  // the last leaf's operands
    std::array<Evicted, eviction_places> evicted_{};
};

void Session::judge(const char* step) {
    if (const Breach breach = watch_.look()) broken(step, breach.rule, breach.page);
    if (const Breach breach = first_breach(w_.subject())) broken(step, breach.rule, breach.page);
}

// Choosing.

template <class Wanted>
u64 Session::page_with(Wanted wanted) {
    const u64 first = random_.below(pages);
    for (u64 n = 0; n < pages; ++n)
        if (wanted(epc_.entries[(first + n) % pages])) return (first + n) % pages;
    return first;
}

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

// The operating system.

void Session::create(u64 place) {
    w_.ram<Pageinfo>(at::pageinfo) = {0, at::source, at::secinfo, 0};
    write_secinfo(0);
    Secs& source = w_.ram<Secs>(at::source);
    source = {};
    source.size = range_size;
    source.baseaddr = range_of(place);
    source.ssaframesize = 1;
    if (random_.once_in(2)) source.miscselect = {SgxMiscselect::exinfo};
    source.attributes.flags = {SgxAttribute::mode64bit};
    source.attributes.flags.set(SgxAttribute::debug, random_.once_in(2));
    source.attributes.flags.set(SgxAttribute::provisionkey, random_.once_in(4));
    source.attributes.flags.set(SgxAttribute::aexnotify, random_.once_in(3));
    source.attributes.xfrm = {Xcr0::x87, Xcr0::sse};
    source.attributes.xfrm.set(Xcr0::avx, random_.once_in(2));
}

/// The page-table entry follows, most of the time.
void Session::add(u64 secs, u64 page, u64 linear, u64 flags) {
    w_.ram<Pageinfo>(at::pageinfo) = {linear, at::source, at::secinfo, window_of(secs)};
    write_secinfo(flags);
    std::memset(&w_.ram<u8>(at::source), static_cast<int>(random_.byte()), page_size);
    const u64 place_offset = linear % range_size;
    if ((flags & tcs) != 0) {
        Tcs& t = w_.ram<Tcs>(at::source);
        t = {};
        t.flags.set(TcsFlag::dbgoptin, random_.once_in(4));
        const bool notifies = epc_.secs(secs).attributes.flags.has(SgxAttribute::aexnotify);
        t.flags.set(TcsFlag::aexnotify, notifies != random_.once_in(20));
        t.ossa = ssa_offset_of(place_offset / page_size % 2);
        t.nssa = 2;
        t.oentry = code_at;
        t.fslimit = t.gslimit = 0xfff;
    }
    if (!encls(EnclsLeaf::eadd, {at::pageinfo, linear_of(page)})) return;
    if (!random_.once_in(40))
        w_.map(linear, (at::epc + page * page_size) | present | writable | user);
    if (random_.once_in(6))
        encls(EnclsLeaf::eextend, {window_of(secs), window_of(page) + 256 * random_.below(16)});
}

void Session::build(u64 place) {
    const u64 secs = free_page(), base = range_of(place);
    create(place);
    if (!encls(EnclsLeaf::ecreate, {at::pageinfo, linear_of(secs)})) return;
    for (u64 thread = 0; thread < 2; ++thread) {
        add(secs, free_page(), base + tcs_offsets[thread], tcs);
        add(secs, free_page(), base + ssa_offset_of(thread), reg | r | w);
        add(secs, free_page(), base + ssa_offset_of(thread) + page_size, reg | r | w);
    }
    add(secs, free_page(), base + data_at, reg | r | w);
    add(secs, free_page(), base + code_at, reg | r | x);
    for (unsigned tries = 0; tries < 3 && !random_.once_in(16); ++tries) initialise(secs);
}

/// Signatures are made once for each measurement.
void Session::initialise(u64 secs) {
    static std::map<Digest, Sigstruct> signatures;
    const Digest digest = finish_measurement(epc_.hidden(secs).measurement);
    auto known = signatures.find(digest);
    if (known == signatures.end()) {
        Sigstruct s{};
        s.header = sigstruct_header;
        s.header2 = sigstruct_header2;
        s.date = 0x2026'1122;
        s.enclavehash = digest;
        sign(s);
        if (signatures.size() > 4000) signatures.clear();
        known = signatures.emplace(digest, s).first;
    }
    w_.ram<Sigstruct>(at::sigstruct) = known->second;
    if (random_.once_in(20)) w_.ram<u8>(at::sigstruct + random_.below(1808)) ^= 1;
    std::memset(&w_.ram<u8>(at::token), 0, 512);
    encls(EnclsLeaf::einit, {at::sigstruct, window_of(secs), at::token});
}

void Session::add_version_array() {
    encls(EnclsLeaf::epa, {static_cast<u64>(PageType::va), linear_of(free_page())});
}

/// As drivers do it, or with a part left out.
void Session::evict(u64 page) {
    const EpcmEntry before = epc_.entries[page];
    const bool special = before.page_type == PageType::secs || before.page_type == PageType::va;
    if (!special && !random_.once_in(10)) encls(EnclsLeaf::eblock, {0, linear_of(page)});
    if (!special && !random_.once_in(10))
        encls(EnclsLeaf::etrack, {0, window_of(before.enclave_secs)});
    if (!random_.once_in(3)) interrupt_all();
    const u64 place = random_.below(eviction_places);
    Evicted& e = evicted_[place];
    const u64 va = page_of_type(PageType::va), slot = free_slot(va);
    const u64 where = at::evicted + 2 * place * page_size;
    w_.ram<Pageinfo>(at::pageinfo) = {0, where, where + page_size, 0};
    const EpcmEntry entry = epc_.entries[page];
    if (!encls(EnclsLeaf::ewb, {at::pageinfo, window_of(page), window_of(va) + slot})) return;
    e.used = false;
    if (spoilt_) return;  // another page, or to elsewhere
    // EWB has left the page as it was, and nobody has it now.
    std::array<u8, page_size> plain;
    std::memcpy(plain.data(), epc_.page(page), page_size);
    if (std::memcmp(&w_.ram<u8>(where), plain.data(), page_size) == 0)
        broken("EWB", "what it writes is encrypted", page);
    e = {true, false, va, slot, entry, plain};
    for (Evicted& other : evicted_)  // the slots have moved away
        if (before.page_type == PageType::va && other.used && other.va_page == page)
            other.va_page = pages;
}

void Session::reload(Evicted& e) {
    const u64 where = at::evicted + 2 * static_cast<u64>(&e - evicted_.data()) * page_size;
    const bool child = e.entry.page_type != PageType::secs && e.entry.page_type != PageType::va;
    const u64 secs = random_.once_in(15) ? page_of_type(PageType::secs) : e.entry.enclave_secs;
    w_.ram<Pageinfo>(at::pageinfo) = {e.entry.enclave_address, where, where + page_size,
                                      child ? window_of(secs) : 0};
    const bool tampered = random_.once_in(10);
    u64 changed = where + random_.below(page_size + 128);
    // PCMD's ENCLAVEID is for whoever keeps it: the SECS says the enclave that the MAC covers.
    constexpr u64 id = page_size + offsetof(Pcmd, enclaveid);
    if (changed - where - id < sizeof(Pcmd::enclaveid)) changed = where;
    if (tampered) w_.ram<u8>(changed) ^= u8{1};
    const u64 page = free_page(), va = e.va_page < pages ? e.va_page : page_of_type(PageType::va);
    const EnclsLeaf leaf = random_.once_in(2) ? EnclsLeaf::eldb : EnclsLeaf::eldu;
    const bool done = encls(leaf, {at::pageinfo, window_of(page), window_of(va) + e.va_slot});
    if (tampered) w_.ram<u8>(changed) ^= u8{1};
    if (!done || spoilt_) return;
    if (e.loaded) broken("ELDU", "a page is loaded once", page);
    e.loaded = true;
    if (tampered) broken("ELDU", "a changed page is not loaded", changed - where);
    if (std::memcmp(epc_.page(page), e.plain.data(), page_size) != 0 &&
        e.entry.page_type != PageType::secs)
        broken("ELDU", "what EWB took is what comes back", page);
    e.used = random_.once_in(2);  // a replay may be tried
    for (Evicted& other : evicted_)
        if (e.entry.page_type == PageType::va && other.used && other.va_page == pages)
            other.va_page = page;
    if (child)
        w_.map(e.entry.enclave_address, (at::epc + page * page_size) | present | writable | user);
}

void Session::augment() {
    const u64 secs = page_of_type(PageType::secs), page = free_page();
    const u64 linear = epc_.secs(secs).baseaddr + free_at + page_size * random_.below(8);
    if (linear < at::ranges || linear >= at::window) return;
    w_.ram<Pageinfo>(at::pageinfo) = {linear, 0, 0, window_of(secs)};
    if (!encls(EnclsLeaf::eaug, {at::pageinfo, linear_of(page)})) return;
    w_.map(linear, (at::epc + page * page_size) | present | writable | user);
}

/// Of an enclave in which somebody is, if there is one: who may accept it at once.
void Session::change_type_or_rights() {
    Cpu& c = any_processor();
    const PageType from = random_.once_in(4) ? PageType::tcs : PageType::reg;
    const u64 page = page_with([&](const EpcmEntry& e) {
        return e.valid && e.page_type == from &&
               (!c.enclave.active || e.enclave_secs == c.enclave.secs_page);
    });
    const bool type = random_.once_in(2);
    write_secinfo(type ? (random_.once_in(3) ? tcs : trim) : reg | random_.below(8));
    encls(type ? EnclsLeaf::emodt : EnclsLeaf::emodpr, {at::secinfo, linear_of(page)});
    if (random_.once_in(2))
        encls(EnclsLeaf::etrack, {0, window_of(epc_.entries[page].enclave_secs)});
    if (c.enclave.active && random_.once_in(2)) accept(c);
}

void Session::lone_leaf() {
    const u64 page = random_.below(pages);
    switch (random_.below(10)) {
        case 0: encls(EnclsLeaf::eblock, {0, linear_of(page)}); break;
        case 1: encls(EnclsLeaf::etrack, {0, linear_of(page_of_type(PageType::secs))}); break;
        case 2:
        case 3: encls(EnclsLeaf::eremove, {0, linear_of(page)}); break;
        case 4: encls(EnclsLeaf::edbgrd, {0, window_of(page) + 8 * random_.below(512)}); break;
        case 5:
            encls(EnclsLeaf::edbgwr, {random_.word(), window_of(page_of_type(PageType::reg)) +
                                                          8 * random_.below(512)});
            break;
        case 6: initialise(page_of_type(PageType::secs)); break;
        case 7: add_version_array(); break;
        case 8:
            encls(static_cast<EnclsLeaf>(random_.below(26)), {at::pageinfo, window_of(page)});
            break;
        default:
            w_.ram<u64>(at::pageinfo + 8 * random_.below(4)) = window_of(random_.below(pages));
            encls(static_cast<EnclsLeaf>(random_.below(26)),
                  {at::pageinfo, window_of(page), window_of(random_.below(pages))});
            break;
    }
}

/// Any page of any enclave anywhere, mostly flushed as it should be.
void Session::edit_tables() {
    const u64 linear = at::ranges + page_size * random_.below(places * range_size / page_size);
    const u64 page = random_.below(pages);
    switch (random_.below(6)) {
        case 0: w_.map(linear, 0); break;
        case 1: w_.map(linear, at::source | present | writable | user); break;
        case 2: w_.map(linear, (at::epc + page * page_size) | present | user); break;
        case 3: w_.map(linear, (at::epc + page * page_size) | present | writable | user); break;
        default: {
            const u64 right = page_with([&](const EpcmEntry& e) {
                return e.valid && e.page_type != PageType::secs && e.enclave_address == linear;
            });
            w_.map(linear, (at::epc + right * page_size) | present | writable | user);
        }
    }
    if (!random_.once_in(3))
        for (u64 n = 0; n < processors; ++n) flush_page(w_.processor(n), Gva{linear});
    judge("a change of page tables");
}

// Threads.

void Session::enter(Cpu& c) {
    w_.as_user(c);
    const u64 page = page_with([&](const EpcmEntry& e) {
        return e.valid && e.page_type == PageType::tcs && !e.modified && !e.blocked;
    });
    const bool resumes = epc_.tcs(page).cssa != 0 && !random_.once_in(3);
    c.gpr[rsp] = random_.word();
    enclu(c, resumes ? EncluLeaf::eresume : EncluLeaf::eenter,
          {epc_.entries[page].enclave_address, at::aep});
}

void Session::interrupt(Cpu& c) {
    const Enclave e = c.enclave;
    ExitCause cause;
    cause.is_exception = random_.once_in(2);
    cause.vector = static_cast<Vector>(random_.below(22));
    cause.error_code = static_cast<u32>(random_.below(0x10000));
    cause.address = random_.word();
    cause.fault_like = random_.once_in(2);
    asynchronous_exit(c, cause);
    watch_.allow_bytes(e.tcs_page, 0, 88);
    watch_.allow_bytes(e.ssa_gpr / page_size);
    watch_.allow_bytes(e.ssa_xsave[0] / page_size);
    allow_hidden(e.secs_page);
    if (c.enclave.active || c.rip != e.aep || c.gpr[rbx] != e.tcs_linear)
        broken("AEX", "it ends at the AEP", c.rip);
    judge("AEX");
}

void Session::interrupt_all() {
    for (u64 n = 0; n < processors; ++n)
        if (w_.processor(n).enclave.active) interrupt(w_.processor(n));
}

void Session::write_secinfo_inside(const Enclave& e, u64 flags) {
    const u64 page = own_page(e, e.base + data_at);
    if (!epc_.entries[page].valid || epc_.entries[page].page_type != PageType::reg) return;
    watch_.allow_bytes(page, 0, sizeof(Secinfo));
    epc_.at<Secinfo>(page * page_size) = {};
    epc_.at<Secinfo>(page * page_size).flags = SecinfoFlags::from_raw(flags);
}

/// What the page waits for, or something else.
void Session::accept(Cpu& c) {
    const Enclave e = c.enclave;
    const u64 page = page_with([&](const EpcmEntry& entry) {
        return entry.valid && entry.enclave_secs == e.secs_page &&
               (entry.pending || entry.modified || entry.pr);
    });
    const EpcmEntry& entry = epc_.entries[page];
    u64 flags = static_cast<u64>(entry.page_type) << 8 | (entry.r ? r : 0) | (entry.w ? w : 0) |
                (entry.x ? x : 0) | (entry.pending ? pending : 0) |
                (entry.modified ? modified : 0) | (entry.pr ? pr : 0);
    if (random_.once_in(8)) flags ^= u64{1} << random_.below(11);
    const u64 secinfo = e.base + data_at;
    switch (random_.below(6)) {
        case 0:
            write_secinfo_inside(e, reg | random_.below(8));
            enclu(c, EncluLeaf::emodpe, {secinfo, entry.enclave_address});
            return;
        case 1:
            write_secinfo_inside(e, reg | random_.below(8));
            enclu(c, EncluLeaf::eacceptcopy, {secinfo, entry.enclave_address, e.base + code_at});
            return;
        default:
            write_secinfo_inside(e, flags);
            enclu(c, EncluLeaf::eaccept, {secinfo, entry.enclave_address});
    }
}

void Session::ask_for_keys(Cpu& c) {
    const Enclave e = c.enclave;
    const u64 page = own_page(e, e.base + data_at);
    if (epc_.entries[page].valid && epc_.entries[page].page_type == PageType::reg) {
        watch_.allow_bytes(page, 0, 1024);
        std::memset(epc_.page(page), 0, 1024);
        auto& request = epc_.at<Keyrequest>(page * page_size);
        request.keyname = static_cast<KeyName>(random_.below(6));
        request.keypolicy = KeyPolicyWord::from_raw(static_cast<u16>(random_.below(4)));
    }
    const u64 data = e.base + data_at;
    if (random_.once_in(2))
        enclu(c, EncluLeaf::egetkey, {data, data + 1024 + 16 * random_.below(8)});
    else
        enclu(c, EncluLeaf::ereport, {data + 512, data + 1024, data + 2048});
}

/// AEX-Notify, or no more: a byte of GPRSGX.
void Session::ask_for_notice(const Cpu& c) {
    const u64 flag = c.enclave.ssa_gpr + offsetof(Gprsgx, aexnotify);
    watch_.allow_bytes(flag / page_size, flag % page_size, 1);
    epc_.at<u8>(flag) ^= 1;
    judge("a request for notice");
}

/// A store changes the enclave's own page at that address and nothing else; a load reads one.
void Session::own_access(Cpu& c) {
    const Enclave e = c.enclave;
    const u64 linear = e.base + page_size * random_.below(16) + random_.below(page_size - 8);
    const auto is_here = [&](u64 page) {
        const EpcmEntry& entry = epc_.entries[page];
        return entry.valid && entry.enclave_secs == e.secs_page &&
               entry.page_type != PageType::secs && entry.page_type != PageType::va &&
               entry.enclave_address == linear - linear % page_size;
    };
    c.pending = {};
    if (random_.once_in(2)) {
        if (store(c, Gva{linear}, 8, random_.word()))
            for (u64 page = 0; page < pages; ++page)
                if (is_here(page)) watch_.allow_bytes(page, linear % page_size, 8);
        return judge("a store by the enclave");
    }
    if (const auto value = load(c, Gva{linear}, 8)) {
        bool own = false;
        for (u64 page = 0; page < pages; ++page)
            own |= is_here(page) &&
                   epc_.at<u64>(page * page_size + linear % page_size) == value.value();
        if (!own) broken("a load by the enclave", "it reads its own page", linear);
    }
    judge("a load by the enclave");
}

/// From outside, or from inside by an address that is not the enclave's.
void Session::foreign_access(Cpu& c) {
    u64 linear = window_of(random_.below(pages)) + random_.below(page_size - 8);
    if (!c.enclave.active) {
        random_.once_in(2) ? w_.as_kernel(c) : w_.as_user(c);
        if (random_.once_in(2))
            linear = at::ranges + random_.below(places * 16) * page_size + random_.below(4088);
    }
    u64 page = 0;
    const bool epc = w_.resolve(linear, page);
    c.pending = {};
    if (epc && random_.once_in(2)) {
        static_cast<void>(store(c, Gva{linear}, 8, random_.word()));
    } else if (const auto value = load(c, Gva{linear}, 8);
               epc && value && value.value() != ~u64{0}) {
        // Translations may be older than the tables, but none leads into the EPC.
        u64 source = 0;
        std::memcpy(&source, &w_.ram<u8>(at::source + linear % page_size), sizeof source);
        if (value.value() != source) broken("a load from outside", "it reads ones", linear);
    }
    judge("an access from outside");
}

void Session::inside(Cpu& c) {
    const Enclave e = c.enclave;
    switch (random_.below(12)) {
        case 0: interrupt(c); break;
        case 1: enclu(c, EncluLeaf::eexit, {at::outside_code, 0}); break;
        case 2: enclu(c, EncluLeaf::edeccssa, {}); break;
        case 9: ask_for_notice(c); break;
        case 3: foreign_access(c); break;
        case 4: ask_for_keys(c); break;
        case 5:
            enclu(c, static_cast<EncluLeaf>(random_.below(12)),
                  {e.base + data_at, e.base + data_at, e.base + data_at});
            break;
        case 6:
        case 7:
        case 8: accept(c); break;
        default: own_access(c); break;
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

}  // namespace
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
