// SPDX-License-Identifier: Apache-2.0
// The start of a ring-3 program of our own kernels, and its int 80H.
.intel_syntax noprefix

.section .entry, "ax", @progbits
.global runtime_entry
runtime_entry:
    lea rsp, [rip + runtime_stack_top]
    call runtime_main
    ud2

.text

.global system_call
system_call:
    mov rax, rdi
    mov rdi, rsi
    mov rsi, rdx
    int 0x80
    ret

.section .note.GNU-stack, "", @progbits
