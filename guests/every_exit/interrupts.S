// SPDX-License-Identifier: Apache-2.0
// Entries for the vectors 32 to 255, which no exception uses, at equal distances.
.intel_syntax noprefix
.text

.balign 16
.global interrupt_entries
interrupt_entries:
.set vector, 32
.rept 224
    .balign 16
    push 0
    push vector
    jmp save_registers
    .set vector, vector + 1
.endr

// SYSCALL's landing place: back at once.
.global return_from_syscall
return_from_syscall:
    sysretq

.section .note.GNU-stack, "", @progbits
