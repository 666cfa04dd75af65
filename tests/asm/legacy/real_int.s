# SPDX-License-Identifier: Apache-2.0
# INT 21H through the vector table: FLAGS, CS and IP are pushed, IF is cleared; IRET brings it back.
#: mode real16
#: in rax=0 rbx=0 rcx=0 rdx=0 rdi=0
#: out rax=0x0202 rbx=0x0002 rcx=0x1234 rdx=0x1000
#: out [0x3eff8] = 02 00 20 00 00 10 02 02
#: out [0x3effe] = 02 02
.intel_syntax noprefix
.code16
    mov es, di
    mov word ptr es:[0x84], offset handler
    mov es:[0x86], cs
    sti
    jmp over
.org 0x1e
over:
    int 0x21
    pushf
    pop ax
    jmp end
handler:
    mov dx, cs
    pushf
    pop bx
    mov cx, 0x1234
    iret
end:
