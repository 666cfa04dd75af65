// SPDX-License-Identifier: Apache-2.0
// EENTER, the two AEPs with their ERESUME, the landing place of EEXIT.
.intel_syntax noprefix

.equ eenter, 2

.text

.global enter_enclave
enter_enclave:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8                  // what aep_that_stores overwrites
    mov rbx, rdx
    mov eax, eenter
    enclu
    // EEXIT arrives here: RDI is the enclave's answer.
    add rsp, 8
    mov rax, rdi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

// RAX = 3 (ERESUME), RBX = TCS and RCX = AEP are set by the asynchronous exit, RSP is what it was
// at EENTER. The flags are free: ERESUME takes them from the SSA frame.
.global aep_that_stores
aep_that_stores:
    mov [rsp], rax
.global aep_plain
aep_plain:
    inc qword ptr [rip + resume_count]
    mov rdx, [rip + resume_limit]
    cmp [rip + resume_count], rdx
    jae give_up
    enclu
give_up:
    and rsp, -16
    call resumed_too_often
    ud2

.data
.balign 8
.global resume_count, resume_limit
resume_count: .quad 0
resume_limit: .quad 0

.section .note.GNU-stack, "", @progbits
