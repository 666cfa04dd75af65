// SPDX-License-Identifier: Apache-2.0
// Row 2: the enclave is the first to touch a page that has no EPT entry.
#include "app/demo/rows.h"

#include <algorithm>

#include <fmt/format.h>

#include "app/report.h"
#include "app/text.h"

namespace postern::app {

namespace {

constexpr u32 raw_exit = 0x0800'0030;
constexpr u32 raw_exit_of_encls = 0x0000'0030;

u64 said_address(const Observation& seen, std::string_view key) {
    return parse_number("0x" + seen.said_once(key)).value_or(0);
}

/// The one exit of the enclave for the page at `address`.
void expect_first_touch(const Observation& seen, u64 address, std::string_view name,
                        Account& account) {
    const auto exits = seen.enclave_exits();
    const auto of_page = [address](const hv::ExitRecord& exit) {
        return exit.guest_physical == address;
    };
    const auto count = std::ranges::count_if(exits, of_page);
    account.expect(count == 1,
                   fmt::format("{} exits for {} at {:#x}, not 1", count, name, address));
    for (const hv::ExitRecord& exit : exits)
        if (of_page(exit))
            account.expect(exit.action == hv::Action::mapped,
                           fmt::format("{} was not mapped but {}", name, name_of(exit.action)));
}

/// The ENCLS that touched the EPC page first, long before.
const hv::ExitRecord* encls_exit(const Observation& seen, u64 page) {
    const auto found = std::ranges::find_if(seen.exits, [page](const hv::ExitRecord& exit) {
        return exit.guest_physical / page_size == page / page_size &&
               (exit.raw_reason & 0xffff) == raw_exit_of_encls;
    });
    return found == seen.exits.end() ? nullptr : &*found;
}

void expect_encls_exit(const hv::ExitRecord* exit, Account& account) {
    if (!account.expect(exit != nullptr, "no ENCLS touched the EPC page first")) return;
    account.expect(exit->raw_reason == raw_exit_of_encls,
                   fmt::format("the exit of ENCLS is {}", reason_text(exit->raw_reason)));
    account.expect(exit->kind == hv::ExitKind::normal && exit->cpl == 0 &&
                       (exit->interruptibility_before & 1 << 4) == 0,
                   "the exit of ENCLS is not a normal one of ring 0");
}

void judge(const Observation& seen, Account& account) {
    expect_clean_end(seen, account);
    const u64 untrusted = said_address(seen, "untrusted_page");
    const u64 data = said_address(seen, "data_page");
    account.expect(seen.taken_back.size() == 1 && seen.taken_back[0].page == data &&
                       seen.taken_back[0].was_mapped,
                   "the EPC page's EPT entry was not taken back once");
    const auto exits = seen.enclave_exits();
    for (const hv::ExitRecord& exit : exits) {
        expect_enclave_exit(exit, account);
        account.expect(exit.raw_reason == raw_exit,
                       fmt::format("exit {} is {}", exit.sequence, reason_text(exit.raw_reason)));
    }
    account.expect(exits.size() == 2,
                   fmt::format("{} exits from the enclave, not 2", exits.size()));
    expect_first_touch(seen, untrusted, "the untrusted page", account);
    expect_first_touch(seen, data, "the EPC page", account);
    const hv::ExitRecord* const encls = encls_exit(seen, data);
    expect_encls_exit(encls, account);

    const u64 linear = exits.empty() ? 0 : exits[0].guest_linear;
    account.say("the enclave",
                "hashes a page of ordinary memory that nobody has touched before; "
                "then its own data page, whose EPT entry Postern has taken back "
                "after EINIT.");
    account.say("the raw exit",
                fmt::format("{}, twice: physical {:#x} (linear {:#x}), then physical {:#x}; the "
                            "low 12 bits of each address are gone.",
                            reason_text(raw_exit), untrusted, linear, data));
    account.say(
        "beside it",
        fmt::format("{}: ENCLS[EADD] of the kernel, which touched the same EPC page "
                    "first. The same exit, bit 27 clear: an instruction of ring 0 at RIP "
                    "{:#x}.",
                    reason_text(raw_exit_of_encls), encls != nullptr ? encls->rip_or_aep : 0));
    account.say("Postern",
                "maps the page in EPT and goes on at the AEP; the enclave's instruction "
                "runs again.");
    for (const std::string_view key : {"untrusted_resumes", "epc_resumes"})
        account.expect(seen.said_once(key) == "1",
                       fmt::format("the guest says {}={}, not 1", key, seen.said_once(key)));
    account.say("the guest saw", "one asynchronous exit for each page, ended by ERESUME.");
    account.say(
        "the result",
        "ordinary page: " +
            check_digest(seen.said_once("untrusted_digest"), sha256_of_page(zero_byte), account) +
            "; EPC page: " +
            check_digest(seen.said_once("epc_digest"), sha256_of_page(pattern_byte), account) +
            ".");
}

void judge_without_capture(const Observation& seen, Account& account) {
    expect_unknown_reason(seen, raw_exit, account);
}

constexpr Control controls[] = {
    {"without capture",
     {2, without(hv::Protection::capture), 0, false},
     hv::Protection::capture,
     judge_without_capture},
};

}  // namespace

const Row first_touch_row{2,
                          "The enclave is the first to touch a page",
                          {2, hv::all_protections, 0, false},
                          judge,
                          controls};

}  // namespace postern::app
