// SPDX-License-Identifier: Apache-2.0
#include "guests/every_exit/session.h"

#include "guests/enclave_layout.h"
#include "guests/every_exit/step.h"

namespace postern::guests {

Session session;

namespace {

// A scenario that makes no progress ends by itself.
constexpr u64 most_resumes = 10'000;
constexpr u64 most_resumes_for_a_page = 1'000'000;
constexpr u64 most_events = 64;

constexpr u64 debug = 1;

alignas(16) u8 scratch[64];

/// The enclave was interrupted: it tells what it finds in its SSA frame, and goes on behind the
/// instruction.
void ask_enclave() {
    ProbeCall call{};
    enter(ProbeFunction::handle_event, call, false);
    if (session.interruptions++ == 0) session.first = call;
}

/// The kernel's signal, for every event of ring 3.
void on_event() {
    Registers& signal = shared().signal;
    if (orders().events.count > session.event_limit) give_up("events without end");
    if (signal.rip == reinterpret_cast<u64>(aep_that_stores)) {
        if (session.patience == 0) return ask_enclave();
        --session.patience;
        return;
    }
    const u64 next = step_over(signal.rip);
    if (next != 0) signal.rip = next;
    // A single step outside: after EEXIT, or in the AEP if something interrupted the enclave. The
    // kernel has cleared RFLAGS.TF.
    if (next != 0 || signal.vector == debug) return;
    give_up((Line{} << "event " << signal.vector << " at ").hex(signal.rip));
}

u64 address_of(Target target) {
    switch (target) {
        case Target::scratch: return reinterpret_cast<u64>(scratch);
        case Target::doorbell: return doorbell_address + 0x40;
        case Target::unmapped: return unmapped_address + 0x123;
        case Target::non_canonical: return u64{1} << 63;
        case Target::protected_page: return orders().protected_address;
        case Target::apic_page: return apic_page_address + 0x20;
    }
    return 0;
}

/// What the instruction finds in its registers: distinct values, but for those that mean something.
ProbeRegisters registers_for(Instruction instruction, u64 address) {
    constexpr u64 line_status_port = 0x3fd, post_port = 0x80, exit_reason_field = 0x4402;
    ProbeRegisters registers{
        .rax = 0x1a, .rbx = 0x1b, .rcx = 0, .rdx = 0x1d, .rdi = address, .rflags = 0};
    if (instruction == Instruction::cpuid) registers.rax = 0;
    if (instruction == Instruction::in) registers.rdx = line_status_port;
    if (instruction == Instruction::out) registers.rdx = post_port;
    if (instruction == Instruction::vmread) registers.rcx = exit_reason_field;
    if (instruction == Instruction::divide) registers.rdx = 0;
    return registers;
}

}  // namespace

void ask(ScenarioCall call, u64 first, u64 second) {
    system_call(static_cast<Call>(call), first, second);
}

Line key(const char* text) {
    Line line;
    line << "@" << session.name << "." << session.side_mark << text << "=";
    return line;
}
void print_number(const char* text, u64 number) { print(key(text) << number); }
void print_hex(const char* text, u64 number) { print(key(text).hex(number)); }
void print_digest(const char* text, const u8 (&digest)[32]) {
    print(key(text).bytes(digest, sizeof digest));
}

void give_up(Line& why) {
    print((Line{} << session.name << ": ").append(why));
    leave(ExitCode::row_failed);
}
void give_up(const char* why) {
    Line line;
    give_up(line << why);
}

void answer_events() { set_signal_handler(on_event); }

void begin_watching() {
    session.first = {};
    session.interruptions = 0;
    resume_count = 0;
    resume_limit = most_resumes;
    session.event_limit = most_events;
    session.patience = 0;
    ask(ScenarioCall::watch, reinterpret_cast<u64>(aep_that_stores), session.tcs);
}

void be_patient() {
    resume_count = 0;
    resume_limit = most_resumes_for_a_page * (orders().pages + 1);
}

void enter(ProbeFunction function, ProbeCall& call, bool step) {
    const auto by = step ? enter_enclave_stepping : enter_enclave;
    const EnclaveStatus status =
        by(static_cast<u64>(function), &call, session.tcs, aep_that_stores);
    if (status != EnclaveStatus::ok) give_up("the enclave refuses");
}

ProbeCall call_for(Instruction instruction, Target target) {
    ProbeCall call{};
    call.instruction = static_cast<u64>(instruction);
    call.pages = orders().pages;
    call.registers = registers_for(instruction, address_of(target));
    return call;
}

extern "C" void resumed_too_often() {
    session.side_mark = "";
    print_number("livelock", 1);
    print_number("resumes", resume_count);
    leave(ExitCode::livelock);
}

}  // namespace postern::guests
