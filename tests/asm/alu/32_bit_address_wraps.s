# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x1234567800000000 rsi=0xffffffff00020008
#: in [0x20000] = 07 00 00 00
#: out rax=7
.intel_syntax noprefix
    mov eax, dword ptr [ebx+esi-8]
