// SPDX-License-Identifier: Apache-2.0
// The entries of the IDT: each leaves Registers (abi.h) on the stack and calls on_trap.
.intel_syntax noprefix
.text

// The processor itself pushes an error code for 8, 10 to 14, 17, 21, 29 and 30.
.equ pushing_error_code, 0x60227d00

.macro trap vector
trap_\vector:
    .if (pushing_error_code >> \vector & 1) == 0
    push 0
    .endif
    push \vector
    jmp save_registers
.endm

.irp vector, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    trap \vector
.endr
.irp vector, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    trap \vector
.endr
trap_128:
    push 0
    push 128

.global save_registers
save_registers:
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    cld
    mov rdi, rsp
    call on_trap
return_to_registers:
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rbp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rbx
    pop rax
    add rsp, 16
    iretq

// continue_at(const Registers*): leaves the kernel for good; the next trap finds a fresh stack.
.global continue_at
continue_at:
    mov rsp, rdi
    jmp return_to_registers

// load_segments(code, data): the selectors of a GDT that has just been loaded.
.global load_segments
load_segments:
    mov ds, esi
    mov es, esi
    mov rax, rsp
    push rsi
    push rax
    pushfq
    push rdi
    lea rax, [rip + 1f]
    push rax
    iretq
1:  ret

.section .rodata
.balign 8
.global trap_entries
trap_entries:
.irp vector, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    .quad trap_\vector
.endr
.irp vector, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    .quad trap_\vector
.endr
    .quad trap_128

.section .note.GNU-stack, "", @progbits
