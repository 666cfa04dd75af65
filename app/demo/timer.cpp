// SPDX-License-Identifier: Apache-2.0
// Row 1: a timer leaves the enclave every 1,000 instructions.
#include "app/demo/rows.h"

#include <algorithm>

#include <fmt/format.h>

#include "app/report.h"

namespace postern::app {

namespace {

constexpr u32 period = 1000;
constexpr u32 raw_exit = 0x0800'0034;

/// SHA-256 of 4 KiB compresses 65 blocks, none of them in fewer than 1,000 instructions.
constexpr size_t fewest_exits = 65;

void judge(const Observation& seen, Account& account) {
    expect_clean_end(seen, account);
    const auto exits = seen.enclave_exits();
    for (const hv::ExitRecord& exit : exits) {
        expect_enclave_exit(exit, account);
        account.expect(exit.raw_reason == raw_exit,
                       fmt::format("exit {} is {}, not the timer's", exit.sequence,
                                   reason_text(exit.raw_reason)));
    }
    account.expect(exits.size() >= fewest_exits,
                   fmt::format("only {} exits from the enclave", exits.size()));
    account.expect(seen.said_once("resumes") == fmt::format("{}", exits.size()),
                   fmt::format("the guest counts {} ERESUMEs for {} exits",
                               seen.said_once("resumes"), exits.size()));
    const u64 aep = exits.empty() ? 0 : exits[0].rip_or_aep;
    account.say("the enclave",
                "hashes 4 KiB of its own memory with SHA-256; the VMX-preemption "
                "timer is set to 1,000 instructions.");
    account.say("the raw exit",
                fmt::format("{}, {} times; RIP = {:#x}, the AEP (where ERESUME is), length 0.",
                            reason_text(raw_exit), exits.size(), aep));
    account.say("Postern",
                "reads the field once, keeps the number 52 and the enclave flag (bit "
                "27) apart, starts the timer anew and goes on at the AEP.");
    account.say("the guest saw", fmt::format("{} asynchronous exits of its enclave, each ended by "
                                             "ERESUME; nothing else.",
                                             seen.said_once("resumes")));
    account.say("the result",
                check_digest(seen.said_once("digest"), sha256_of_page(pattern_byte), account));
}

void judge_without_capture(const Observation& seen, Account& account) {
    expect_unknown_reason(seen, raw_exit, account);
}

constexpr Control controls[] = {
    {"without capture",
     {1, without(hv::Protection::capture), period, false},
     hv::Protection::capture,
     judge_without_capture},
};

}  // namespace

const Row timer_row{1,
                    "A timer interrupts the enclave every 1,000 instructions",
                    {1, hv::all_protections, period, false},
                    judge,
                    controls};

}  // namespace postern::app
