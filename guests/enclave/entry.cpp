// SPDX-License-Identifier: Apache-2.0
// How an enclave of ours is entered and left: its own stacks, clean registers at EEXIT.
#include "guests/enclave/entry.h"

namespace postern::guests {
namespace {

/// Where to go back to; one for the call, one for the signal handler's call on top of it.
struct Outside {
    u64 rsp, rbp, rip;
};

struct Variables {
    Outside outside[2];
};

constexpr u64 outside_address = layout::start_of(layout::variables);
static_assert(sizeof(Variables) <= layout::variables.pages * layout::page);
static_assert(sizeof(Outside) == 24);

}  // namespace

/// Where EENTER arrives: RAX = CSSA, RBX = TCS, RCX = the instruction after EENTER, RDI and RSI
/// as the caller set them, RSP and RBP still the caller's. SDM 3D, "EENTER".
extern "C" [[gnu::naked, gnu::section(".entry")]] void enclave_entry() {
    asm volatile(R"(
        cld
        movabs r10, %0
        movabs r11, %1
        test eax, eax
        je 1f
        cmp eax, 1
        jne 2f
        add r10, %4
        movabs r11, %2
    1:
        mov [r10], rsp
        mov [r10 + 8], rbp
        mov [r10 + 16], rcx
        mov rsp, r11
        push r10
        push r10
        mov edx, eax
        mov rcx, rbx
        call enclave_main
        pop r10
        mov rdi, rax
        mov rsp, [r10]
        mov rbp, [r10 + 8]
        mov rbx, [r10 + 16]
        jmp 3f
    2:
        mov rbx, rcx
        mov edi, %3
    3:
        # Leaving the registers clean is the enclave's duty, not EEXIT's.
        xor ecx, ecx
        xor edx, edx
        xor esi, esi
        xor r8d, r8d
        xor r9d, r9d
        xor r10d, r10d
        xor r11d, r11d
        xor r12d, r12d
        xor r13d, r13d
        xor r14d, r14d
        xor r15d, r15d
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        pxor xmm\n, xmm\n
        .endr
        mov eax, 4
        enclu
        ud2
    )"
                 :
                 : "i"(outside_address), "i"(layout::end_of(layout::stack)),
                   "i"(layout::end_of(layout::handler_stack)), "i"(EnclaveStatus::bad_state),
                   "i"(sizeof(Outside)));
}

}  // namespace postern::guests
