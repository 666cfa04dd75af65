# SPDX-License-Identifier: Apache-2.0
# MOV EAX, 44332211H across two pages; then the second one is another, with 6655H.
#: cpl 0
#: in [0x60ffd] = b8 11 22 33 44 ff e3
#: in [0x62000] = 55 66 ff e3
#: in rcx=0x60ffd
#: out rax=0x66552211 rdx=0x44332211 rbx=?
.intel_syntax noprefix
    lea rbx, [rip + 1f]
    jmp rcx
1:  mov edx, eax
    mov dword ptr [0x103308], 0x62007
    invlpg [0x61000]
    lea rbx, [rip + 2f]
    jmp rcx
2:
