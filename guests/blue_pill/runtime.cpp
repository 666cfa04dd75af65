// SPDX-License-Identifier: Apache-2.0
// blue_pill's ring-3 program: for each row it tells L1 what to do, runs the enclave and then the
// same outside, and prints which exits L1 saw. It does not judge; whoever reads it does.
#include "guests/blue_pill/abi.h"
#include "guests/blue_pill/rows.h"
#include "guests/enclave_layout.h"
#include "guests/every_exit/session.h"
#include "guests/every_exit/step.h"

namespace postern::guests {
namespace {

struct alignas(4096) Page {
    u8 bytes[4096];
};
Page shared_page;
ExitTable table;

void call_l1(L1Call call, void* argument) {
    asm volatile("vmcall" : : "a"(static_cast<u64>(call)), "D"(argument) : "memory");
}

u64 address_of(Place place) {
    switch (place) {
        case Place::none: return 0;
        case Place::shared_page: return reinterpret_cast<u64>(&shared_page) + 0x123;
        case Place::data_page: return layout::start_of(layout::data);
        case Place::code_page: return layout::start_of(layout::code);
        case Place::tcs: return layout::start_of(layout::tcs);
        case Place::doorbell: return doorbell_address + 0x40;
        case Place::unmapped: return unmapped_address + 0x123;
        case Place::not_canonical: return u64{1} << 63;
    }
    return 0;
}

void print_exit(u64 number, const SeenExit& exit) {
    const auto print_field = [number](const char* field, u64 value) {
        Line line;
        line << "@" << session.name << "." << session.side_mark << "exit" << number << "." << field;
        print((line << "=").hex(value));
    };
    print_field("reason", exit.reason);
    print_field("qualification", exit.qualification);
    if (exit.entry_failed()) return;
    print_field("interruptibility", exit.interruptibility);
    print_field("rip", exit.rip);
    print_field("length", exit.length);
    print_field("information", exit.information);
    print_field("interruption", exit.interruption);
    print_field("error_code", exit.error_code);
    print_field("vectoring", exit.vectoring);
    print_field("vectoring_error_code", exit.vectoring_error_code);
    print_field("linear", exit.linear);
    print_field("physical", exit.physical);
    print_field("rax", exit.rax);
    print_field("rbx", exit.rbx);
    print_field("rcx", exit.rcx);
}

void print_exits() {
    print_number("exits", table.count);
    for (u64 i = 0; i < table.count && i < exits_listed; ++i) print_exit(i, table.exits[i]);
}

void print_events() {
    const EventLog& log = orders().events;
    print_number("count", log.count);
    print_number("interrupts", log.interrupts);
    print_number("nmis", log.nmis);
    if (log.count == 0) return;
    print_number("vector", log.vectors[0]);
    print_hex("error", log.error_code);
    print_hex("cr2", log.cr2);
}

ProbeCall call_for(const L1Row& row) {
    ProbeCall call = guests::call_for(row.instruction, Target::scratch);
    if (row.place != Place::none) call.registers.rdi = address_of(row.place);
    return call;
}

void begin(const L1Row& row) {
    begin_watching();
    if (row.doing != Doing::instruction) be_patient();
    ask(ScenarioCall::make_trouble, static_cast<u64>(row.trouble));
    L1Order order{row.provoke, is_about_place(row.provoke) ? address_of(row.place) : row.value};
    call_l1(L1Call::begin, &order);
}

void end(const L1Row& row) {
    call_l1(L1Call::end, &table);
    ask(ScenarioCall::end_trouble, static_cast<u64>(row.trouble));
}

ProbeFunction function_of(Doing doing) {
    switch (doing) {
        case Doing::instruction: return ProbeFunction::run;
        case Doing::hash: return ProbeFunction::hash;
        case Doing::wait: return ProbeFunction::hash_long;
    }
    return ProbeFunction::run;
}

void run_inside(const L1Row& row) {
    session.side_mark = "";
    session.tcs = layout::start_of(row.debug ? layout::debug_tcs : layout::tcs);
    if (row.debug) ask(ScenarioCall::make_trouble, static_cast<u64>(Trouble::debugging));
    ProbeCall call = call_for(row);
    begin(row);
    enter(function_of(row.doing), call, false);
    end(row);
    const u64 resumes = resume_count;
    be_patient();
    enter(ProbeFunction::hash, call, false);
    print_exits();
    print_events();
    print_number("resumes", resumes);
    if (orders().events.count != 0) {
        print_number("rip_is_aep", orders().events.all_at_aep);
        print_number("synthetic", orders().events.all_synthetic);
        print_number("xmm_clear", orders().events.vectors_clear);
    }
    if (row.doing == Doing::wait) print_digest("long_digest", call.long_digest);
    print_digest("digest", call.digest);
}

/// L1 ends the loop.
void run_outside(const L1Row& row) {
    session.side_mark = "outside_";
    ProbeCall call = call_for(row);
    const auto by = row.doing == Doing::hash ? Instruction::load : row.instruction;
    begin(row);
    if (row.doing == Doing::wait)
        asm volatile("1: jmp 1b" : : "a"(0x1a), "b"(0x1b), "c"(0x1c));
    else
        run_instruction(&call.registers, static_cast<u64>(by));
    end(row);
    print_exits();
    print_events();
}

bool is_in_enclave(Place place) {
    return place == Place::data_page || place == Place::code_page || place == Place::tcs;
}

void run_row(u64 number) {
    const L1Row& row = l1_rows[number];
    const Side sides = orders().sides;
    if (sides == Side::outside && is_in_enclave(row.place)) return;
    session.name = row.name;
    print(Line{} << "row " << number << ": " << row.name);
    if (row.sides != Sides::outside && sides != Side::outside) run_inside(row);
    if (row.sides != Sides::inside) run_outside(row);
}

/// Before any other: ECREATE and EINIT of the kernel, while it had the enclave built.
void show_build() {
    session.name = "build";
    session.side_mark = "";
    call_l1(L1Call::end, &table);
    print_exits();
}

}  // namespace

extern "C" [[noreturn]] void runtime_main() {
    answer_events();
    print((Line{} << "@aep=").hex(reinterpret_cast<u64>(aep_that_stores)));
    print((Line{} << "@tcs=").hex(layout::start_of(layout::tcs)));
    print((Line{} << "@debug_tcs=").hex(layout::start_of(layout::debug_tcs)));
    print((Line{} << "@shared_page=").hex(reinterpret_cast<u64>(&shared_page)));
    show_build();
    for (u64 number = 0; number < l1_row_count; ++number)
        if ((orders().scenarios >> number & 1) != 0) run_row(number);
    print("@done=1");
    leave(ExitCode::ok);
}

}  // namespace postern::guests
