// SPDX-License-Identifier: Apache-2.0
// Into an enclave and out again. After an asynchronous exit the registers are not the caller's, so
// all that a function must preserve is on the stack.
.intel_syntax noprefix
.text

.macro save
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
.endm

.macro restore
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
.endm

// int enter_by_vdso(void* vdso, void* call, sgx_enclave_run* run)
.global enter_by_vdso
enter_by_vdso:
    save
    mov rax, rdi
    mov rdi, rsi
    push rdx
    xor esi, esi
    xor edx, edx
    mov ecx, 2
    xor r8d, r8d
    xor r9d, r9d
    call rax
    pop rdx
    restore
    ret

// void enter_by_hand(u64 tcs, void* call)
.global enter_by_hand
enter_by_hand:
    save
    mov rbx, rdi
    mov rdi, rsi
    lea rcx, 1f[rip]
    mov eax, 2
    enclu
    restore
    ret
1:  enclu

.section .note.GNU-stack, "", @progbits
