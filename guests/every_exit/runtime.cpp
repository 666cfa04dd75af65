// SPDX-License-Identifier: Apache-2.0
// every_exit's ring-3 program: runs the scenarios that the command line asks for, in the enclave
// and outside, and prints what came out. It does not judge; whoever reads it does.
#include "guests/enclave_layout.h"
#include "guests/every_exit/hostile.h"
#include "guests/every_exit/session.h"
#include "guests/every_exit/step.h"

namespace postern::guests {
namespace {

void print_events() {
    const EventLog& log = orders().events;
    print_number("count", log.count);
    if (log.interrupts != 0) print_number("interrupts", log.interrupts);
    if (log.nmis != 0) print_number("nmis", log.nmis);
    if (log.count == 0) return;
    print_number("vector", log.vectors[0]);
    print_hex("error", log.error_code);
    print_number("ring", log.ring);
    if (log.cr2 != 0) print_hex("cr2", log.cr2);
    Line line = key("events");
    for (u64 i = 0; i < log.count && i < events_listed; ++i) {
        if (i != 0) line << ",";
        line << log.vectors[i];
    }
    print(line);
}

void print_registers(const ProbeRegisters& registers) {
    print_hex("rax", registers.rax);
    print_hex("rbx", registers.rbx);
    print_hex("rcx", registers.rcx);
    print_hex("rdx", registers.rdx);
    print_hex("rflags", registers.rflags);
}

void print_interruption(u64 resumes) {
    const EventLog& log = orders().events;
    print_number("resumes", resumes);
    if (log.count == 0) return print(key("inside") << "ok");
    print_number("rip_is_aep", log.all_at_aep);
    print_number("synthetic", log.all_synthetic);
    print_number("xmm_clear", log.vectors_clear);
    print_hex("mxcsr", log.mxcsr);
    print_number("after_eexit", log.rip == reinterpret_cast<u64>(after_eexit) ? 1 : 0);
    if (session.interruptions == 0) return;
    print_hex("exitinfo", session.first.exitinfo);
    print_hex("exinfo_address", session.first.linear_address);
    print_hex("exinfo_error", session.first.error_code);
    print_number("stepped_over", session.first.stepped_over);
}

void run_inside(const Row& row) {
    const Way& way = row.way;
    session.side_mark = "";
    session.tcs = layout::start_of(way.debug ? layout::debug_tcs : layout::tcs);
    if (way.debug) ask(ScenarioCall::make_trouble, static_cast<u64>(Trouble::debugging));
    ProbeCall call = call_for(row.inside, way.target);
    begin_watching();
    if (way.only_hash) be_patient();
    ask(ScenarioCall::make_trouble, static_cast<u64>(way.trouble));
    enter(way.only_hash ? ProbeFunction::hash_long : ProbeFunction::run, call, way.step);
    ask(ScenarioCall::end_trouble, static_cast<u64>(way.trouble));
    const u64 resumes = resume_count;
    be_patient();
    enter(ProbeFunction::hash, call, false);
    print_events();
    print_interruption(resumes);
    if (way.only_hash)
        print_digest("long_digest", call.long_digest);
    else
        print_registers(call.registers);
    print_digest("digest", call.digest);
}

void run_outside(const Row& row) {
    const Way& way = row.way;
    session.side_mark = "outside_";
    const ProbeCall call = call_for(row.outside, way.target);
    ProbeRegisters registers = call.registers;
    const bool in_ring_0 = way.runner == Outside::ring_0 && orders().has_ring_0 != 0;
    begin_watching();
    ask(ScenarioCall::make_trouble, static_cast<u64>(way.trouble));
    if (in_ring_0)
        ask(ScenarioCall::run_in_ring_0, call.instruction, reinterpret_cast<u64>(&registers));
    else
        run_instruction(&registers, call.instruction);
    ask(ScenarioCall::end_trouble, static_cast<u64>(way.trouble));
    print_number("runner", in_ring_0 ? 0 : 3);
    print_events();
    print_registers(registers);
    session.side_mark = "";
    if (orders().events.count == 0) print(key("outside") << "ok");
}

void run_scenario(u64 number) {
    const Row& row = rows[number];
    const u64 sides = static_cast<u64>(orders().sides);
    session.name = scenario_names[number].name;
    session.side_mark = "";
    print(Line{} << "scenario " << number << ": " << session.name);
    print_number("start", 1);
    ask(ScenarioCall::begin, number);
    if (row.scenario == Scenario::hostile) {
        if ((sides & static_cast<u64>(Side::inside)) != 0) run_hostile();
    } else {
        if ((sides & static_cast<u64>(Side::inside)) != 0) run_inside(row);
        if ((sides & static_cast<u64>(Side::outside)) != 0 && !row.way.only_hash) run_outside(row);
    }
    ask(ScenarioCall::end, number);
    session.side_mark = "";
    print_number("end", 1);
}

}  // namespace

extern "C" [[noreturn]] void runtime_main() {
    answer_events();
    for (u64 number = 0; number < scenario_count; ++number)
        if ((orders().scenarios >> number & 1) != 0) run_scenario(number);
    print("@done=1");
    leave(ExitCode::ok);
}

}  // namespace postern::guests
