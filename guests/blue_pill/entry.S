// SPDX-License-Identifier: Apache-2.0
// The two ways between L1 and its guest.
.intel_syntax noprefix

.equ guest_rsp, 0x681c
.equ guest_rip, 0x681e

.text

// launch_as_guest(): returns as L2, with L1 below. Nothing but RSP and RIP is left to be written.
.global launch_as_guest
launch_as_guest:
    mov eax, guest_rsp
    vmwrite rax, rsp
    mov eax, guest_rip
    lea rdx, [rip + 1f]
    vmwrite rax, rdx
    vmlaunch
    call on_failed_entry
    ud2
1:  ret

// The host's RIP: L2Registers (l1.h) go to the stack and come back from there.
.global exit_to_l1
exit_to_l1:
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
    mov rdi, rsp
    call on_vm_exit
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
    vmresume
    call on_failed_entry
    ud2

.section .note.GNU-stack, "", @progbits
