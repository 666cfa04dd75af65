// SPDX-License-Identifier: Apache-2.0
// Running the cells and printing them.
#include "app/matrix.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "arch/vmx/exit_qualification.h"
#include "base/table.h"

namespace postern::app {

namespace {

using host::fake::ExitInfo;
using host::fake::Machine;
using Info = InterruptionInformation;

static_assert(is_strictly_sorted(expected_exits,
                                 [](const ExpectedExit& row) { return row.reason; }));

constexpr Info first_event = Info::external(0x40);
constexpr Info exception = Info::hardware_exception(Vector::page_fault);
constexpr u8 length = 3;            // of the instruction outside an enclave
constexpr u32 injected_length = 2;  // of an injected event: not an enclave's

struct OutcomeText {
    std::string_view word;
    std::string_view meaning;
};

/// In the order of Outcome.
constexpr std::array<OutcomeText, 17> outcome_texts{{
    {"goes on", "nothing is injected, RIP is where the exit left it"},
    {"goes on !", "the same, and the exit is counted as an anomaly"},
    {"dropped", "the intercept is switched off and the instruction runs again"},
    {"mapped", "the page is mapped in EPT and the instruction runs again"},
    {"passed over", "carried out, RIP behind the instruction"},
    {"halted", "the same, and nothing is to run until an event"},
    {"emulated", "carried out on the device, RIP behind the instruction"},
    {"#UD", "one #UD and nothing else"},
    {"#UD !", "the same, and the exit is counted as an anomaly"},
    {"#GP", "one #GP(0) and nothing else"},
    {"#GP !", "the same, and the exit is counted as an anomaly"},
    {"same exception", "the exception that exited is injected as it came"},
    {"event again", "the event that was being delivered is injected again"},
    {"event again !", "the same, and the exit is counted as an anomaly"},
    {"mapped, event", "the page is mapped in EPT and the event is injected again"},
    {"exception first", "the exception is injected, and the interrupt that met it waits"},
    {"stops", "the guest is stopped with a report"},
}};
static_assert(outcome_texts.size() == static_cast<size_t>(Outcome::stops) + 1);

constexpr std::array<std::string_view, situation_count> situation_names{
    "normal", "enclave", "delivery", "injected delivery"};

std::string_view word_of(Outcome outcome) {
    return outcome_texts[static_cast<size_t>(outcome)].word;
}

constexpr u16 task_priority = 0x80;  // offset in the local APIC's page

ExitInfo normal_exit(BasicReason reason) {
    ExitInfo info{.gpa = host::fake::doorbell + 0x40, .length = length};
    if (reason == BasicReason::ept_violation) info.gpa = Gpa{0x5123};
    if (reason == BasicReason::exception_or_nmi) info.interruption = exception;
    if (reason == BasicReason::control_register_access) {
        info.qualification = CrAccess::mov_to(4, rax).to_raw();
        info.rax = 0x20;
    }
    if (reason == BasicReason::apic_access) {
        info.gpa = Gpa{apic_base_reset_address + task_priority};
        info.qualification = ApicAccess::of(ApicAccessType::linear_write, task_priority).to_raw();
        info.rax = 0x20;
    }
    if (reason == BasicReason::rdmsr) info.rcx = 0x3a;
    if (reason == BasicReason::wrmsr) {
        info.rcx = 0x277;
        info.rax = 0;
    }
    if (reason == BasicReason::xsetbv) info.rax = 3;
    if (reason == BasicReason::encls) info.rax = 0x3f;  // a leaf that there is not
    return info;
}

u64 intercepts(Machine& machine) {
    const u64 window = PrimaryControls{PrimaryControl::interrupt_window_exiting}.to_raw();
    return (machine.processor.at(VmcsField::primary_processor_based_controls) & ~window) << 32 |
           machine.processor.at(VmcsField::secondary_processor_based_controls);
}

bool wants_interrupt_window(Machine& machine) {
    return PrimaryControls::from_raw(
               static_cast<u32>(machine.processor.at(VmcsField::primary_processor_based_controls)))
        .has(PrimaryControl::interrupt_window_exiting);
}

/// What one exit did, as the processor and the devices saw it.
struct Seen {
    hv::Next next;
    bool rip_moved_well;  // by the instruction's length
    bool rip_moved;
    bool touched;  // a device, through memory or a port, or the local APIC
    bool decoded;  // bytes were fetched and decoded
    bool mapped;
    bool dropped;
    bool anomaly;
    bool waits;  // an interrupt, for a window
    bool stop_reported;
    bool registers_changed;
    host::fake::Injected event;
    bool second_event;
    std::vector<std::string> complaints;
};

Seen look(Machine& machine, Situation situation, BasicReason reason) {
    const ExitInfo info = matrix_exit(reason, situation);
    const u64 controls = intercepts(machine);
    const u64 anomalies = machine.anomalies();
    const bool was_mapped = machine.vm.ept().is_mapped(info.gpa);
    const bool normal = situation == Situation::normal;
    const ExitReason raw = normal ? ExitReason{reason} : ExitReason{reason}.in_enclave();
    Seen seen{};
    seen.next = machine.exits_with(raw, info);
    const u64 before = normal ? host::fake::kernel_rip : host::fake::aep;
    const u64 rip = machine.processor.at(VmcsField::guest_rip);
    seen.rip_moved = rip != before;
    seen.rip_moved_well = rip == before + length;
    seen.touched = !machine.devices.touches.empty() || !machine.devices.port_touches.empty() ||
                   machine.vcpu.apic().cr8() != 0;
    seen.decoded = machine.processor.decodes != 0;
    seen.mapped = !was_mapped && machine.vm.ept().is_mapped(info.gpa);
    seen.dropped = intercepts(machine) != controls;
    seen.anomaly = machine.anomalies() != anomalies;
    seen.stop_reported = machine.watcher.stops.size() == 1;
    // After an AEX: RAX, RBX and RCX are ERESUME's, the others 0.
    hv::GuestRegisters aex;
    aex.gpr[rax] = 3;
    aex.gpr[rbx] = host::fake::tcs;
    aex.gpr[rcx] = host::fake::aep;
    seen.registers_changed = !normal && machine.vcpu.registers().gpr != aex.gpr;
    if (seen.next == hv::Next::resume) {
        seen.event = machine.injected();
        seen.waits = wants_interrupt_window(machine);
        seen.second_event = machine.injected().has_value();
    }
    seen.complaints = machine.processor.complaints;
    return seen;
}

Outcome outcome_of_event(const Seen& seen) {
    using enum Outcome;
    const Info event = seen.event.information;
    if (event == first_event) {
        if (seen.mapped) return mapped_original;
        return seen.anomaly ? original_anomaly : original;
    }
    if (event == Info::hardware_exception(Vector::invalid_opcode))
        return seen.anomaly ? ud_anomaly : ud;
    if (event == Info::hardware_exception(Vector::general_protection))
        return seen.anomaly ? gp_anomaly : gp;
    return seen.waits ? first_exception : same_exception;
}

Outcome outcome_of(const Seen& seen) {
    using enum Outcome;
    if (seen.next == hv::Next::stop) return stops;
    if (seen.next == hv::Next::halt) return halted;
    if (seen.rip_moved) return seen.touched && seen.decoded ? emulated : passed_over;
    if (seen.event.has_value()) return outcome_of_event(seen);
    if (seen.dropped) return dropped;
    if (seen.mapped) return mapped;
    return seen.anomaly ? goes_on_anomaly : goes_on;
}

/// What a row's outcome includes; everything else that was seen is beside it.
std::string beside(const Seen& seen, Outcome outcome, Situation situation, BasicReason reason) {
    using enum Outcome;
    const auto is = [outcome](auto... any) { return ((outcome == any) || ...); };
    const bool moves = is(passed_over, halted, emulated);
    const bool through_port = outcome == passed_over && reason == BasicReason::io_instruction;
    // The intercept that is dropped is one that is never ours to set: that is an anomaly too.
    const bool counts =
        is(goes_on_anomaly, ud_anomaly, gp_anomaly, original_anomaly, dropped) || outcome == stops;
    const bool is_event = outcome_of_event(seen) == outcome;
    const Info event = seen.event.information;
    std::string found;
    const auto add = [&found](bool wrong, std::string_view what) {
        if (wrong) found += fmt::format("{}{}", found.empty() ? "" : ", ", what);
    };
    add(seen.rip_moved && (!moves || !seen.rip_moved_well), "RIP moved");
    add(seen.touched && outcome != emulated && !through_port, "a device was touched");
    add(seen.decoded && outcome != emulated, "an instruction was decoded");
    add(seen.decoded && situation != Situation::normal, "an instruction at the AEP was decoded");
    add(seen.mapped && !is(mapped, mapped_original), "a page was mapped");
    add(seen.dropped && outcome != dropped, "an intercept was dropped");
    add(seen.anomaly && !counts, "an anomaly was counted");
    add(seen.registers_changed, "registers changed");
    add(seen.event.has_value() && !is_event, "an event was injected");
    add(is(same_exception, first_exception) && event != exception, "it is another exception");
    add(seen.waits && outcome != first_exception, "an interrupt waits");
    add(seen.second_event, "a second event was injected");
    add((outcome == stops) != seen.stop_reported, "the report of the stop is wrong");
    for (const std::string& complaint : seen.complaints) add(true, complaint);
    return found;
}

MatrixCell run_cell(BasicReason reason, Situation situation, Outcome expected) {
    Machine machine{matrix_config()};
    machine.processor.access = {.kind = hv::DecodedAccess::Kind::store_register,
                                .length = length,
                                .memory_size = 4,
                                .register_size = 4,
                                .gpr = rax};
    if (situation == Situation::injected_delivery)
        static_cast<void>(
            machine.enclave_exits(BasicReason::exception_or_nmi, {.interruption = exception}));
    const Seen seen = look(machine, situation, reason);
    const Outcome outcome = outcome_of(seen);
    return {outcome, expected, beside(seen, outcome, situation, reason)};
}

Outcome expected_in(const ExpectedExit& row, Situation situation) {
    switch (situation) {
        case Situation::normal: return row.normal;
        case Situation::enclave: return row.enclave;
        case Situation::delivery:
        case Situation::injected_delivery: return row.delivery;
    }
    return Outcome::stops;
}

void print_text(std::ostream& out, std::span<const MatrixRow> rows) {
    constexpr std::string_view line = "{:>2}  {:<33}  {:<14}  {:<14}  {:<15}  {}\n";
    out << fmt::format(line, "no", "exit reason", situation_names[0], situation_names[1],
                       situation_names[2], situation_names[3]);
    for (const MatrixRow& row : rows)
        out << fmt::format(line, static_cast<unsigned>(row.reason), name_of(row.reason),
                           word_of(row.cells[0].got), word_of(row.cells[1].got),
                           word_of(row.cells[2].got), word_of(row.cells[3].got));
}

constexpr std::string_view markdown_head =
    R"(# What becomes of every VM exit

Made by `postern matrix --markdown`; a test compares. Each cell was run: the exit was given to the
hypervisor on a processor of paper, and what it did was read off that processor and its devices.
What it should do is written by hand in `app/expected_exits.h`.

- **normal**: outside enclaves, at CPL 0, with every intercept on that is never ours to set.
- **enclave**: exit-reason bit 27 is set, and an instruction of the enclave was interrupted. RIP is
  the AEP, the instruction length is 0, the page offset of every address is gone.
- **delivery**: bit 27 is set, and an event that interrupted the enclave exited on its way.
- **injected delivery**: the same, of an event that the VM entry before had injected.

`!`: the manual rules this exit out, so it is counted as an anomaly. Nothing that CPL 3 can cause
stops the guest.

)";

void print_markdown(std::ostream& out, std::span<const MatrixRow> rows) {
    out << markdown_head;
    out << "| word | what happens |\n| --- | --- |\n";
    for (const OutcomeText& text : outcome_texts)
        out << fmt::format("| {} | {} |\n", text.word, text.meaning);
    out << "\n| no | exit reason";
    for (const std::string_view name : situation_names) out << " | " << name;
    out << " |\n| --: | --- | --- | --- | --- | --- |\n";
    for (const MatrixRow& row : rows) {
        out << fmt::format("| {} | {}", static_cast<unsigned>(row.reason), name_of(row.reason));
        for (const MatrixCell& cell : row.cells) out << " | " << word_of(cell.got);
        out << " |\n";
    }
}

/// One line for each wrong cell; how many.
size_t print_wrong(std::ostream& err, std::span<const MatrixRow> rows) {
    size_t wrong = 0;
    for (const MatrixRow& row : rows) {
        for (size_t i = 0; i < situation_count; ++i) {
            const MatrixCell& cell = row.cells[i];
            if (cell.right()) continue;
            ++wrong;
            err << fmt::format("postern: exit {} ({}), {}: \"{}\", expected \"{}\"{}{}\n",
                               static_cast<unsigned>(row.reason), name_of(row.reason),
                               situation_names[i], word_of(cell.got), word_of(cell.expected),
                               cell.beside.empty() ? "" : "; beside it: ", cell.beside);
        }
    }
    return wrong;
}

}  // namespace

hv::Config matrix_config() {
    hv::Config config = host::fake::default_config();
    using enum PrimaryControl;
    config.forced_primary_controls =
        PrimaryControls{invlpg_exiting,  rdpmc_exiting, rdtsc_exiting, mwait_exiting,
                        monitor_exiting, pause_exiting, mov_dr_exiting}
            .to_raw();
    using enum SecondaryControl;
    config.forced_secondary_controls =
        SecondaryControls{rdrand_exiting, rdseed_exiting, descriptor_table_exiting}.to_raw();
    return config;
}

host::fake::ExitInfo matrix_exit(BasicReason reason, Situation situation) {
    if (situation == Situation::normal) return normal_exit(reason);
    ExitInfo info{.gpa = host::fake::doorbell};
    if (reason == BasicReason::ept_violation) info.gpa = host::fake::epc_base;
    if (reason == BasicReason::exception_or_nmi) info.interruption = exception;
    if (situation == Situation::enclave) return info;
    // A triple fault is always one of a delivery, and the manual gives it no vectoring.
    if (reason != BasicReason::triple_fault) info.idt_vectoring = first_event;
    if (situation == Situation::injected_delivery) info.length = injected_length;
    if (reason == BasicReason::ept_violation) info.gpa = Gpa{0x7fff8};
    return info;
}

std::vector<MatrixRow> run_matrix(std::span<const ExpectedExit> expected) {
    std::vector<MatrixRow> rows;
    for (const ExpectedExit& row : expected) {
        MatrixRow& made = rows.emplace_back();
        made.reason = static_cast<BasicReason>(row.reason);
        for (size_t i = 0; i < situation_count; ++i) {
            const auto situation = static_cast<Situation>(i);
            made.cells[i] = run_cell(made.reason, situation, expected_in(row, situation));
        }
    }
    return rows;
}

int matrix_command(MatrixFormat format, Terminal terminal, std::span<const ExpectedExit> expected) {
    const std::vector<MatrixRow> rows = run_matrix(expected);
    if (format == MatrixFormat::markdown)
        print_markdown(terminal.out, rows);
    else
        print_text(terminal.out, rows);
    const size_t wrong = print_wrong(terminal.err, rows);
    if (rows.size() != reason_limit)
        terminal.err << fmt::format("postern: {} rows for {} exit reasons\n", rows.size(),
                                    reason_limit);
    if (format == MatrixFormat::text)
        terminal.out << fmt::format("\n{} exits run, {} wrong\n", rows.size() * situation_count,
                                    wrong);
    return wrong == 0 && rows.size() == reason_limit ? 0 : 1;
}

}  // namespace postern::app
