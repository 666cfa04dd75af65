// SPDX-License-Identifier: Apache-2.0
// For fuzz_sgx_leaves: threads, which enter, leave, are interrupted and manage their own pages, and
// everybody else, who tries to reach them.
#include "fuzz/sgx/session.h"

namespace postern::cpu::sgx::fuzz {

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
        const u64 loaded = value.value();
        bool own = false;
        for (u64 page = 0; page < pages; ++page)
            own |= is_here(page) &&
                   std::memcmp(epc_.page(page) + linear % page_size, &loaded, sizeof loaded) == 0;
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

}  // namespace postern::cpu::sgx::fuzz
