// SPDX-License-Identifier: Apache-2.0
// For fuzz_sgx_leaves: the operating system, which builds, pages, changes and takes apart enclaves.
#include "fuzz/sgx/session.h"

namespace postern::cpu::sgx::fuzz {

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

}  // namespace postern::cpu::sgx::fuzz
