# SPDX-License-Identifier: Apache-2.0
#: mode compat32
#: in rax=0 rbx=0xfffff000 rcx=0x21000
#: in [0x20000] = 78 56 34 12
#: out rax=0x12345678
.intel_syntax noprefix
.code32
    mov eax, [ebx+ecx]
