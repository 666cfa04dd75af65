# SPDX-License-Identifier: Apache-2.0
# LMSW sets PE and cannot clear it.
#: mode real16
#: out rax=0 rbx=1
#: out zf=? pf=?
.intel_syntax noprefix
.code16
    mov ax, 3
    lmsw ax
    xor ax, ax
    lmsw ax
    mov ebx, cr0
    and ebx, 3
    movzx eax, ax
