// SPDX-License-Identifier: Apache-2.0
// Ring 3, int 80H, signals for #UD and #PF, a page first touched by ring 3.
#include "guests/runtime/selftest.h"

#include "guests/runtime/system.h"

namespace postern::guests {
namespace {

constexpr u64 invalid_opcode = 6;
constexpr u64 page_fault = 14;
constexpr u64 user_read_of_present_page = 5;

u64 signals;
Registers seen;
u64 seen_cr2;

void step_over_ud2() {
    ++signals;
    seen = shared().signal;
    shared().signal.rip += 2;
    shared().signal.rax = 0xfeed;
}

void step_over_load() {
    ++signals;
    seen = shared().signal;
    seen_cr2 = shared().cr2;
    shared().signal.rip = shared().signal.rbx;
}

void expect(bool right, const char* what) {
    if (right) return;
    print(Line{} << "selftest: wrong: " << what);
    leave(ExitCode::row_failed);
}

void test_invalid_opcode() {
    set_signal_handler(step_over_ud2);
    u64 rax = 1;
    u64 r12 = 0x1234'5678'9abc'def0;
    asm volatile("ud2" : "+a"(rax), "+r"(r12) : : "memory");
    expect(signals == 1 && seen.vector == invalid_opcode, "one #UD for one UD2");
    expect(rax == 0xfeed && r12 == 0x1234'5678'9abc'def0, "the registers after a signal");
    expect((seen.cs & 3) == 3 && (seen.ss & 3) == 3, "the privilege level of ring 3");
    print("@selftest.ud=1");
}

void test_supervisor_page() {
    set_signal_handler(step_over_load);
    u64 value = 0;
    u64 next;
    asm volatile("lea rbx, [rip + 1f]\n mov rax, [rdi]\n 1:"
                 : "+a"(value), "=&b"(next)
                 : "D"(shared().kernel_address)
                 : "memory");
    expect(signals == 2 && seen.vector == page_fault, "a #PF for a supervisor page");
    expect(seen.error_code == user_read_of_present_page, "the error code of that #PF");
    expect(seen_cr2 == shared().kernel_address && value == 0, "CR2 of that #PF");
    print("@selftest.supervisor_refused=1");
}

void test_untouched_page() {
    const auto* words = reinterpret_cast<const volatile u64*>(untrusted_page_address);
    u64 sum = 0;
    for (u32 i = 0; i < 512; ++i) sum |= words[i];
    expect(sum == 0, "a page never touched reads as zeros");
    print("@selftest.untouched_is_zero=1");
}

}  // namespace

void run_selftest() {
    print("selftest: ring 3, int 80H, signals, SHA-256 outside an enclave");
    test_invalid_opcode();
    test_supervisor_page();
    set_signal_handler(nullptr);
    test_untouched_page();
    print_selftest_digest();
    print("@done=1");
    leave(ExitCode::ok);
}

}  // namespace postern::guests
