# SPDX-License-Identifier: Apache-2.0
#: out rax=0x11223344
.intel_syntax noprefix
    mov eax, dword ptr [rip+1f]
    jmp 2f
1:  .long 0x11223344
2:
