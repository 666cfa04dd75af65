// SPDX-License-Identifier: Apache-2.0
// EENTER with RFLAGS.TF set. The asynchronous exit goes to the ordinary AEPs (runtime/enclu.S),
// with the stack as enter_enclave leaves it for them.
.intel_syntax noprefix

.equ eenter, 2
.equ rflags_tf, 0x100

.text
.global enter_enclave_stepping
enter_enclave_stepping:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    mov rbx, rdx
    mov eax, eenter
    pushfq
    or dword ptr [rsp], rflags_tf
    popfq
    enclu
.global after_eexit
after_eexit:
    add rsp, 8
    mov rax, rdi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

.section .note.GNU-stack, "", @progbits
