// SPDX-License-Identifier: Apache-2.0
// Running a scenario and holding what was seen against what is expected.
#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "app/demo/rows.h"
#include "app/demo/scenarios.h"
#include "app/options.h"
#include "app/report.h"
#include "arch/regs/rflags.h"
#include "arch/vmx/controls.h"
#include "arch/vmx/exit_reason.h"
#include "arch/vmx/interruptibility.h"
#include "cpu/run.h"
#include "cpu/sgx/interruption.h"

namespace postern::app {

namespace {

// guests/scenarios.h; the scenario's place in the table is in the low bits.
constexpr u32 mark_begins = 0xf200'0000;
constexpr u32 mark_ends = 0xf300'0000;
constexpr u32 mark_mask = 0xff00'0000;

/// The enclave hashes for 70,000 instructions and more from soon after the mark.
constexpr u64 disturb_after = 30'000;

constexpr u64 eresume = 3;

constexpr u32 timer_in_enclave = 0x0800'0034;
constexpr u32 mapped_in_enclave = 0x0800'0030;
constexpr u32 interrupt_in_enclave = 0x0800'0001;
constexpr Gpa apic_page{0xfee0'0000};

void add(host::Guest& guest, VmcsField field, u32 bits) {
    if (bits != 0) guest.port().vmwrite(field, guest.port().vmread(field) | bits);
}

void take_away(host::Guest& guest, VmcsField field, u32 bits) {
    guest.port().vmwrite(field, guest.port().vmread(field) & ~u64{bits});
}

/// A page of ours where the guest's APIC is: all that APIC virtualization needs to exit.
void offer_apic_page(host::Guest& guest) {
    const auto page = guest.vm().pages().take();
    if (!page.ok()) return;
    guest.vm().forget(apic_page);
    const hv::MemorySlot slot{apic_page, page_size, hv::SlotKind::ram, page.value()};
    if (!guest.vm().ept().map(slot, apic_page).ok()) return;
    guest.port().vmwrite(VmcsField::apic_access_address, page.value().raw());
}

/// Two PAUSEs belong to one loop if so little time lies between them; a loop of so much exits.
void limit_pause_loops(host::Guest& guest) {
    guest.port().vmwrite(VmcsField::ple_gap, 50);
    guest.port().vmwrite(VmcsField::ple_window, 100);
}

void begin(host::Guest& guest, const Setting& setting) {
    const auto secondary = SecondaryControls::from_raw(setting.secondary);
    if (secondary.has(SecondaryControl::pause_loop_exiting)) limit_pause_loops(guest);
    add(guest, VmcsField::primary_processor_based_controls, setting.primary);
    add(guest, VmcsField::secondary_processor_based_controls, setting.secondary);
    add(guest, VmcsField::exception_bitmap, setting.exceptions);
    const u64 due = cpu::now(guest.machine().processor()) + disturb_after;
    if (setting.disturbance == Disturbance::nmi) guest.port().raise_nmi_at(due);
    if (setting.disturbance == Disturbance::external_interrupt) guest.ticks().arm(due);
    if (setting.disturbance == Disturbance::apic_page) offer_apic_page(guest);
    if (setting.disturbance == Disturbance::every_instruction && guest.machine().epc() != nullptr)
        cpu::sgx::set_interruptions(guest.machine().epc()->interruptions,
                                    cpu::sgx::Interruptions::When::every, 1);
}

void after_exit(host::Guest& guest, const hv::ExitRecord& exit, const Setting& setting,
                u32& steps) {
    constexpr auto window = PrimaryControls{PrimaryControl::interrupt_window_exiting}.to_raw();
    constexpr auto trap = PrimaryControls{PrimaryControl::monitor_trap_flag}.to_raw();
    constexpr VmcsField primary = VmcsField::primary_processor_based_controls;
    const BasicReason reason = ExitReason::from_vmcs(exit.raw_reason).basic();
    if (reason == BasicReason::monitor_trap_flag && ++steps == setting.most_steps)
        take_away(guest, primary, trap);
    if (exit.raw_reason != timer_in_enclave) return;
    if (setting.disturbance == Disturbance::interrupt_window) add(guest, primary, window);
}

/// The table's addresses are those of the doorbell's fixed place.
u64 guest_physical_of(const ExpectedExits& expected, const Observation& seen) {
    const u64 offset = expected.guest_physical - platform::doorbell_base;
    return offset < page_size ? seen.doorbell + offset : expected.guest_physical;
}

/// Beside the row, the kernel goes on with its work, and its timer interrupts whatever runs.
bool is_the_rows(const hv::ExitRecord& exit, const Observation& seen) {
    return !seen.of_a_process || exit.cpl == 3;
}
bool is_the_kernels_timer(const hv::ExitRecord& exit, const Observation& seen) {
    return seen.of_a_process && exit.raw_reason == interrupt_in_enclave &&
           exit.kind == hv::ExitKind::enclave && exit.action == hv::Action::retried;
}

bool is_one_of(const ExpectedExits& expected, const hv::ExitRecord& exit) {
    return exit.raw_reason == expected.raw_reason && exit.interruption == expected.interruption &&
           (expected.qualification == any_value || exit.qualification == expected.qualification) &&
           (expected.idt_vectoring == 0 || exit.idt_vectoring == expected.idt_vectoring) &&
           (expected.rax == any_value || exit.rax == expected.rax);
}

/// Memory that is touched for the first time, by whomever.
bool is_first_touch(const hv::ExitRecord& exit) {
    return exit.raw_reason == mapped_in_enclave && exit.kind == hv::ExitKind::enclave &&
           exit.action == hv::Action::mapped;
}

void expect_delivery(const hv::ExitRecord& exit, Account& account) {
    const bool flags = ExitReason::from_vmcs(exit.raw_reason).from_enclave() &&
                       InterruptibilityState::from_raw(exit.interruptibility_before)
                           .has(Interruptibility::enclave);
    account.expect(flags, fmt::format("exit {}: bit 27 or bit 4 is not set", exit.sequence));
    account.expect(exit.rip_after == exit.rip_or_aep,
                   fmt::format("exit {}: RIP has moved", exit.sequence));
}

void judge_exit(const ExpectedExits& expected, const hv::ExitRecord& exit, const Observation& seen,
                Account& account) {
    const auto expect = [&](bool right, std::string_view what, auto got) {
        account.expect(right, fmt::format("exit {} ({}): {}: {}", exit.sequence,
                                          reason_text(exit.raw_reason), what, got));
    };
    expect(exit.kind == expected.kind, "typed as", name_of(exit.kind));
    expect(exit.action == expected.action, "done", name_of(exit.action));
    expect(exit.injected == expected.injected, "injected", exit.injected);
    expect(exit.idt_vectoring == expected.idt_vectoring, "event in delivery", exit.idt_vectoring);
    expect(expected.guest_physical == any_value ||
               exit.guest_physical == guest_physical_of(expected, seen),
           "physical address", exit.guest_physical);
    const bool moved = exit.rip_after != exit.rip_or_aep;
    expect(moved == expected.rip_moves, "RIP moved", moved);
    if (exit.kind == hv::ExitKind::enclave && expected.idt_vectoring == 0)
        expect_enclave_exit(exit, account);
    if (exit.kind == hv::ExitKind::delivery) expect_delivery(exit, account);
}

void judge_exits(const ScenarioRun& run, const Observation& seen, Account& account) {
    std::array<u32, std::tuple_size_v<decltype(run.exits)>> counts{};
    for (size_t at = seen.row_begin; at < seen.row_end; ++at) {
        const hv::ExitRecord& exit = seen.exits[at];
        if (!is_the_rows(exit, seen)) continue;
        const auto expected =
            std::ranges::find_if(run.exits, [&](const auto& row) { return is_one_of(row, exit); });
        if (expected != run.exits.end()) {
            const auto row = static_cast<size_t>(expected - run.exits.begin());
            if (++counts[row] <= 3 || account.wrong.empty())
                judge_exit(*expected, exit, seen, account);
        } else if (ExitReason::from_vmcs(exit.raw_reason).from_enclave() && !is_first_touch(exit) &&
                   !is_the_kernels_timer(exit, seen)) {
            account.expect(false, fmt::format("exit {} ({}), interruption {:#x}, qualification "
                                              "{:#x}: not expected",
                                              exit.sequence, reason_text(exit.raw_reason),
                                              exit.interruption, exit.qualification));
        }
    }
    for (size_t row = 0; row < counts.size(); ++row) {
        const ExpectedExits& expected = run.exits[row];
        if (expected.raw_reason == any_number) continue;
        account.expect(counts[row] >= expected.least && counts[row] <= expected.most,
                       fmt::format("{} exits {}, interruption {:#x}", counts[row],
                                   reason_text(expected.raw_reason), expected.interruption));
    }
}

void judge_anomalies(const ScenarioRun& run, const Observation& seen, Account& account) {
    for (size_t number = 0; number < hv::anomaly_count; ++number) {
        const auto anomaly = static_cast<hv::Anomaly>(number);
        const auto count = std::ranges::count_if(seen.anomalies, [&](const SeenAnomaly& one) {
            return one.anomaly == anomaly && (!seen.of_a_process || one.cpl == 3);
        });
        u32 least = 0, most = 0;
        for (const ExpectedAnomaly& expected : run.anomalies)
            if (expected.most != 0 && expected.anomaly == anomaly) {
                least = expected.least;
                most = expected.most;
            }
        account.expect(count >= least && count <= most,
                       fmt::format("{} times the anomaly: {}", count, name_of(anomaly)));
    }
}

std::string last_line(const std::string& text) {
    std::string last;
    for (const std::string_view line : split(text, '\n'))
        if (!line.empty()) last = line;
    return last;
}

void judge_end(const ScenarioRun& run, const Observation& seen, Account& account) {
    const host::RunResult& result = seen.result;
    const ExpectedEnd& expected = run.end;
    const bool right =
        result.ending == expected.ending &&
        (result.ending != host::Ending::exit_port || result.value == expected.value) &&
        (result.ending != host::Ending::stopped ||
         (result.stop.reason == expected.reason && result.stop.detail == expected.detail));
    if (account.expect(right, "the run does not end as expected; the guest's last line:")) return;
    account.wrong.emplace_back(last_line(seen.serial));
    for (const std::string& line : ending_lines(result)) account.wrong.push_back(line);
}

void judge_words(const ScenarioRun& run, const Observation& seen, Account& account) {
    for (const std::string_view word : split(run.said, ' ')) {
        if (word.empty()) continue;
        if (word.starts_with('-')) {
            const auto values = seen.said_all(word.substr(1));
            account.expect(values.empty(), fmt::format("the guest says {}", word.substr(1)));
            continue;
        }
        const size_t equals = word.find('=');
        const std::string said = seen.said_once(word.substr(0, equals));
        account.expect(said == word.substr(equals + 1),
                       fmt::format("the guest says \"{}\" instead of {}", said, word));
    }
}

/// Whatever interrupted it, the enclave comes to the same digest, and outside nothing of it is
/// seen.
void judge_enclave(const ScenarioRun& run, const Observation& seen, Account& account) {
    if (run.end.ending != host::Ending::exit_port || run.end.value != 0) return;
    account.expect(seen.said_once("end") == "1", "the guest does not say that it is over");
    if (run.setting.mode != "inside") return;
    check_digest(seen.said_once("digest"), sha256_of_page(pattern_byte), account);
    if (seen.said_once("rip_is_aep") != "1") return;
    account.expect(seen.said_once("synthetic") == "1", "a register is not as an AEX leaves it");
    account.expect(seen.said_once("xmm_clear") == "1", "an XMM register is not clear");
    account.expect(seen.said_once("mxcsr") == "1fb0", "MXCSR is not 1FB0H");
}

}  // namespace

std::string_view guest_name_of(const Scenario& scenario, const ScenarioRun& run) {
    return run.guest_name.empty() ? scenario.guest_name : run.guest_name;
}

Trial trial_of(const Scenario& scenario, const ScenarioRun& run) {
    Trial trial;
    trial.said_as = guest_name_of(scenario, run);
    trial.begins = mark_begins;
    trial.ends = mark_ends;
    trial.mark_mask = mark_mask;
    trial.instruction_limit = run.setting.instruction_limit;
    trial.looks_at_registers = run.setting.disturbance == Disturbance::every_instruction;
    trial.at_begin = [&setting = run.setting](host::Guest& guest) { begin(guest, setting); };
    trial.at_exit = [&setting = run.setting, steps = u32{0}](host::Guest& guest,
                                                             const hv::ExitRecord& exit) mutable {
        after_exit(guest, exit, setting, steps);
    };
    return trial;
}

platform::Expected<Observation> observe(const Scenario& scenario, const ScenarioRun& run,
                                        const platform::Kernel& kernel) {
    const Setting& setting = run.setting;
    const auto model = parse_model(setting.cpu);
    if (!model) return std::unexpected{model.error()};
    Trial trial = trial_of(scenario, run);
    trial.guest.model = &*model;
    trial.guest.kernel = kernel;
    trial.guest.kernel.command_line =
        fmt::format("scenario={} mode={} pages=1", trial.said_as, setting.mode);
    trial.guest.protections = setting.protections;
    trial.guest.enclave_fault = setting.enclave_fault;
    trial.guest.mmio_marking = setting.mmio_marking;
    trial.guest.hidden = setting.hidden;
    trial.guest.choices = setting.choices;
    trial.guest.preemption_timer = setting.timer;
    trial.guest.livelock_ticks = setting.livelock_ticks;
    return observe(std::move(trial));
}

void judge(const Scenario&, const ScenarioRun& run, const Observation& seen, Account& account) {
    account.expect(seen.said_once("start") == "1", "the guest does not say that it starts");
    judge_end(run, seen, account);
    judge_exits(run, seen, account);
    judge_anomalies(run, seen, account);
    judge_words(run, seen, account);
    judge_enclave(run, seen, account);
    account.expect(seen.leaks == 0, fmt::format("{} exits with a register that is not as an AEX "
                                                "leaves it",
                                                seen.leaks));
    const platform::Doorbell::Ring aep_store{0, eresume, 0, 8, true};
    if (run.aep_rings)
        account.expect(!seen.rings.empty() && seen.rings[0] == aep_store,
                       "the doorbell's first ring is not the AEP's store of RAX at offset 0");
    account.expect(seen.ring_count >= run.least_rings && seen.ring_count <= run.most_rings,
                   fmt::format("the doorbell rang {} times", seen.ring_count));
    for (const VmcsField field : seen.missing_fields)
        account.wrong.push_back(
            fmt::format("the processor has no VMCS field {}", postern::name_of(field)));
}

}  // namespace postern::app
