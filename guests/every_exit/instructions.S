// SPDX-License-Identifier: Apache-2.0
.intel_syntax noprefix

// The trap comes after the instruction that follows.
#define SET_TF pushfq; or dword ptr [rsp], 0x100; popfq

.section .rodata
.balign 4
.global instruction_table
instruction_table:

#define INSTRUCTION(name, before, ...)                    \
    .text;                                                \
    entry_##name: before;                                 \
    start_##name: __VA_ARGS__;                            \
    end_##name: ret;                                      \
    .section .rodata;                                     \
    .long entry_##name - ., start_##name - ., end_##name - .
#include "guests/every_exit/instructions.def"

.global instruction_table_end
instruction_table_end:

.text

// run_instruction(ProbeRegisters* registers, u64 number)
.global run_instruction
run_instruction:
    push rbx
    push r12
    push r13
    mov r12, rdi
    lea r13, [rip + instruction_table]
    imul rsi, rsi, 12
    add r13, rsi
    movsxd rax, dword ptr [r13]
    add r13, rax
    mov rax, [r12]
    mov rbx, [r12 + 8]
    mov rcx, [r12 + 16]
    mov rdx, [r12 + 24]
    mov rdi, [r12 + 32]
    call r13
    mov [r12], rax
    mov [r12 + 8], rbx
    mov [r12 + 16], rcx
    mov [r12 + 24], rdx
    mov [r12 + 32], rdi
    pushfq
    pop [r12 + 40]
    pop r13
    pop r12
    pop rbx
    ret

.section .note.GNU-stack, "", @progbits
