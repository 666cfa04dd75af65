// SPDX-License-Identifier: Apache-2.0
// Row 3: the enclave touches a device. Told in full, for somebody who has not met this before.
#include "app/demo/rows.h"

#include <algorithm>

#include <fmt/format.h>

#include "app/report.h"

namespace postern::app {

namespace {

using Ring = platform::Doorbell::Ring;

constexpr u32 raw_exit = 0x0800'0031;
constexpr u64 doorbell = 0xfe00'0000;
constexpr size_t accesses = 4;
constexpr u32 injected_ud = 0x8000'0306;  // valid, hardware exception, vector 6

// guests/abi.h: what the guest stores from outside, and how its exit codes tell the ways to end.
constexpr u64 outside_store_0 = 0x1111'0000;
constexpr u64 outside_store_40 = 0x2222'0040;
constexpr u32 exit_row_failed = 1;
constexpr u32 exit_livelock = 5;

/// MOV [RSP], RAX, the store that lies at this guest's AEP.
constexpr u64 store_length = 4;
constexpr u64 eresume = 3;

std::string ring_text(const Ring& ring) {
    return fmt::format("{} of {} bytes at offset {:#x}, value {:#x}", ring.write ? "store" : "load",
                       ring.size, ring.offset, ring.value);
}

std::vector<hv::ExitRecord> device_exits(const Observation& seen) {
    auto exits = seen.enclave_exits();
    std::erase_if(exits, [](const hv::ExitRecord& exit) { return exit.raw_reason != raw_exit; });
    return exits;
}

void expect_guarded(const hv::ExitRecord& exit, u64 aep, Account& account) {
    const auto expect = [&](bool right, std::string_view what) {
        account.expect(right, fmt::format("exit {}: {}", exit.sequence, what));
    };
    expect_enclave_exit(exit, account);
    expect(exit.raw_reason == raw_exit, reason_text(exit.raw_reason));
    expect(exit.guest_physical == doorbell, "the physical address is not the doorbell's page");
    expect(exit.action == hv::Action::guarded, "it did not end in the guard");
    expect(exit.injected == injected_ud, "what is injected is not #UD");
    expect(exit.rip_or_aep == aep, "the AEP differs from the other exits'");
}

/// The outside's four accesses ring, in this order, and nothing else does.
void expect_rings_from_outside(const Observation& seen, Account& account) {
    const std::vector<Ring> expected{
        {0, 0xb311'0000, 0, 4, false},
        {1, 0xb311'0040, 0x40, 4, false},
        {2, outside_store_0, 0, 4, true},
        {3, outside_store_40, 0x40, 4, true},
    };
    if (seen.rings == expected) return;
    account.wrong.push_back(
        fmt::format("the doorbell rang {} times, not 4 in the order expected", seen.ring_count));
    for (size_t i = 0; i < std::min<size_t>(seen.rings.size(), 8); ++i)
        account.wrong.push_back(fmt::format("  ring {}: {}", i, ring_text(seen.rings[i])));
}

void expect_guest_words(const Observation& seen, Account& account) {
    const auto says = [&](std::string_view key, std::string_view value) {
        account.expect(seen.said_once(key) == value, fmt::format("the guest says {}={}, not {}",
                                                                 key, seen.said_once(key), value));
    };
    says("ud_count", "4");
    says("ud_rip_is_aep", "1");
    says("refused", "4");
    says("outside_load0", "b3110000");
    says("outside_load40", "b3110040");
    account.expect(seen.said_all("ud_again").empty(), "an access raised more than one #UD");
}

void tell(const Observation& seen, u64 aep, Account& account) {
    account.say("background",
                "A device's page has no memory behind it. Postern marks it by an EPT "
                "misconfiguration, as KVM does: every access makes a VM exit, and the hypervisor "
                "carries out the instruction at RIP on the device instead.");
    account.say("the enclave",
                "loads from the doorbell at offset 0 and at offset 0x40, then stores "
                "to both.");
    account.say("the raw exit",
                fmt::format("{}, {} times; physical address {:#x}: the page, its offset gone; "
                            "RIP = {:#x}, the AEP: not the enclave's instruction, which nobody "
                            "may see; length 0.",
                            reason_text(raw_exit), device_exits(seen).size(), doorbell, aep));
    account.say("a naive one",
                "would take the number 49 for an ordinary device access, decode what lies at RIP "
                "and carry that out. But RIP is the AEP, and untrusted user space decides what "
                "lies there. Here it is a store: the doorbell would ring at offset 0 with the "
                "store's value, whatever the enclave wanted.");
    account.say("Postern",
                "sees bit 27: this exit has no instruction to decode, emulate or skip, so each "
                "such path ends in the guard. One #UD for the guest; nothing is fetched, no "
                "device is touched, RIP stays.");
    account.say("the guest saw",
                fmt::format("{} #UD, each at the AEP, one for each access; it let the enclave "
                            "itself refuse {} accesses and went on. The VM lives.",
                            seen.said_once("ud_count"), seen.said_once("refused")));
    std::string rings;
    for (const Ring& ring : seen.rings) rings += (rings.empty() ? "" : "; ") + ring_text(ring);
    account.say("from outside",
                "the same four accesses, made outside the enclave, are emulated and ring: " +
                    rings + ". From the enclave: no ring.");
}

void judge(const Observation& seen, Account& account) {
    expect_clean_end(seen, account);
    const auto exits = device_exits(seen);
    account.expect(exits.size() == accesses,
                   fmt::format("{} exits for the doorbell, not 4", exits.size()));
    account.expect(seen.enclave_exits().size() == exits.size(),
                   "the enclave has exits of other kinds");
    const u64 aep = exits.empty() ? 0 : exits[0].rip_or_aep;
    for (const hv::ExitRecord& exit : exits) expect_guarded(exit, aep, account);
    account.expect(seen.counters.injected_ud == accesses,
                   fmt::format("{} #UD injected, not 4", seen.counters.injected_ud));
    account.expect(
        seen.counters.emulated_mmio == accesses,
        fmt::format("{} accesses emulated, not the 4 from outside", seen.counters.emulated_mmio));
    expect_rings_from_outside(seen, account);
    expect_guest_words(seen, account);
    tell(seen, aep, account);
    account.say("the result",
                "afterwards the enclave still works: " +
                    check_digest(seen.said_once("digest"), sha256_of_page(pattern_byte), account) +
                    ".");
}

void judge_without_guard(const Observation& seen, Account& account) {
    const auto exits = device_exits(seen);
    if (!account.expect(!exits.empty() && !seen.rings.empty(), "the doorbell did not ring")) return;
    const Ring& ring = seen.rings[0];
    const hv::ExitRecord& exit = exits[0];
    account.expect(ring == Ring{0, eresume, 0, 8, true},
                   "the first ring is not the AEP's store at offset 0: " + ring_text(ring));
    account.expect(exit.action == hv::Action::emulated && exit.injected == 0,
                   "the first exit was not emulated");
    account.expect(exit.rip_after == exit.rip_or_aep + store_length, "RIP did not move by 4");
    account.expect(seen.said_once("livelock") == "1" &&
                       seen.result.ending == host::Ending::exit_port &&
                       seen.result.value == exit_livelock,
                   "the guest did not find itself in a livelock");
    account.say({}, fmt::format("the store at the AEP was carried out: the doorbell rang ({}), RIP "
                                "moved from {:#x} to {:#x}; the enclave's load came again and "
                                "again, {} rings until the guest gave up.",
                                ring_text(ring), exit.rip_or_aep, exit.rip_after, seen.ring_count));
}

bool has_anomaly(const Observation& seen, hv::Anomaly anomaly) {
    return std::ranges::any_of(
        seen.anomalies, [anomaly](const SeenAnomaly& one) { return one.anomaly == anomaly; });
}

void judge_lie_without_check(const Observation& seen, Account& account) {
    const auto exits = device_exits(seen);
    if (!account.expect(!exits.empty(), "there was no exit for the doorbell")) return;
    const hv::ExitRecord& exit = exits[0];
    account.expect(exit.instruction_length == host::LyingPort::lie, "the processor did not lie");
    account.expect(exit.rip_after == exit.rip_or_aep + host::LyingPort::lie, "RIP did not move");
    account.expect(!has_anomaly(seen, hv::Anomaly::rip_write_refused), "the write was refused");
    account.expect(
        seen.result.ending == host::Ending::exit_port && seen.result.value == exit_row_failed,
        "the guest did not notice");
    account.say({},
                fmt::format("on a processor that says length {}, RIP moved from {:#x} to {:#x}: "
                            "the #UD came in the wrong place, and the guest gave up.",
                            exit.instruction_length, exit.rip_or_aep, exit.rip_after));
}

void judge_lie_with_check(const Observation& seen, Account& account) {
    const auto exits = device_exits(seen);
    account.expect(exits.size() == accesses, "there were not 4 exits for the doorbell");
    for (const hv::ExitRecord& exit : exits)
        account.expect(
            exit.instruction_length == host::LyingPort::lie && exit.rip_after == exit.rip_or_aep,
            "RIP moved, or the processor did not lie");
    account.expect(seen.counters.of(hv::Anomaly::rip_write_refused) == accesses,
                   "4 writes of RIP were not refused");
    expect_rings_from_outside(seen, account);
    expect_guest_words(seen, account);
    account.say({},
                fmt::format("the same lie: RIP stayed, {} anomalies were counted, and the guest "
                            "saw what it sees on an honest processor.",
                            seen.counters.of(hv::Anomaly::rip_write_refused)));
}

constexpr Control controls[] = {
    {"without guard",
     {3, without(hv::Protection::guard), 0, false},
     hv::Protection::guard,
     judge_without_guard},
    {"without skip-check",
     {3, without(hv::Protection::skip_check), 0, true},
     hv::Protection::skip_check,
     judge_lie_without_check},
    {"with skip-check",
     {3, hv::all_protections, 0, true},
     hv::Protection::skip_check,
     judge_lie_with_check},
};

}  // namespace

const Row doorbell_row{3,
                       "The enclave touches a device: a doorbell",
                       {3, hv::all_protections, 0, false},
                       judge,
                       controls};

}  // namespace postern::app
