// SPDX-License-Identifier: Apache-2.0
// The enclave: adds two numbers, counts its calls, and makes a REPORT whose data is the sum.
// Freestanding: no library, no operating system.
#include "layout.h"

extern uint8_t image[]
    __attribute__((visibility("hidden")));  // the linker's: where the enclave begins

static uint64_t calls;
static _Alignas(512) uint8_t
    target_info[512];  // zero: for nobody, which makes a REPORT all the same
static _Alignas(512) uint8_t report[432];
static _Alignas(128) uint64_t report_data[8];

static void make_report(void) {
    asm volatile("enclu"
                 :
                 : "a"(0 /* EREPORT */), "b"(target_info), "c"(report_data), "d"(report)
                 : "memory");
}

// A pointer from outside must lead outside, or the caller would have us write over ourselves.
static int is_outside(const void* pointer, uint64_t size) {
    const uint64_t first = (uint64_t)pointer, begin = (uint64_t)image;
    return first + size >= first && (first + size <= begin || first >= begin + ENCLAVE_SIZE);
}

// Called by the entry below, on the enclave's stack.
__attribute__((used)) static void serve(struct request* request) {
    if (!is_outside(request, sizeof *request)) return;
    const uint64_t sum = request->a + request->b;
    report_data[0] = sum;
    make_report();
    request->sum = sum;
    request->calls = ++calls;
    for (unsigned n = 0; n < sizeof request->report; n++) request->report[n] = report[n];
}

// EENTER leads here: RDI is the request, RCX where to return to, RSP the caller's. Registers that a
// function may change could hold a secret: they are cleared.
asm(".section .entry, \"ax\"\n"
    "entry:\n"
    "    mov  %rsp, %r10\n"
    "    lea  stack_top(%rip), %rsp\n"
    "    push %r10\n"
    "    push %rcx\n"
    "    cld\n"
    "    call serve\n"
    "    pop  %rbx\n"
    "    pop  %rsp\n"
    "    xor  %ecx, %ecx\n"
    "    xor  %edx, %edx\n"
    "    xor  %esi, %esi\n"
    "    xor  %edi, %edi\n"
    "    xor  %r8d, %r8d\n"
    "    xor  %r9d, %r9d\n"
    "    xor  %r10d, %r10d\n"
    "    xor  %r11d, %r11d\n"
    "    mov  $4, %eax\n"  // EEXIT
    "    enclu\n"
    // The thread control structure: no flags, one SSA frame at the second page, the entry.
    ".section .tcs, \"aw\"\n"
    "    .quad 0, 0, 0x1000\n"  // state, flags, OSSA
    "    .long 0, 1\n"          // CSSA, NSSA
    "    .quad entry\n"
    "    .quad 0, 0, 0\n"                 // AEP, OFSBASE, OGSBASE
    "    .long 0xffffffff, 0xffffffff\n"  // FS and GS limits
    "    .fill 4096 - 72\n"
    ".section .stack, \"aw\"\n"
    "    .fill 4096\n"
    "stack_top:\n"
    ".text\n");
