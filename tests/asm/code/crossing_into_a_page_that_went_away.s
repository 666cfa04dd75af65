# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: in [0x60ffd] = b8 11 22 33 44 ff e3
#: in rcx=0x60ffd
#: out rax=0x44332211 rbx=?
#: fault #PF(0x10) cr2=0x61000 at=0x60ffd
.intel_syntax noprefix
    lea rbx, [rip + 1f]
    jmp rcx
1:  mov dword ptr [0x103308], 0
    invlpg [0x61000]
    jmp rcx
