# SPDX-License-Identifier: Apache-2.0
# 400000H through a page table, the rest by one page of 4 MiB.
#: mode protected32
#: in cr0=0x80010033 cr3=0x200000 cr4=0x610
#: in [0x200000] = 87 00 00 00 07 10 20 00
#: in [0x201000] = 07 00 06 00
#: in [0x60010] = 78 56 34 12
#: out rax=0x12345678 rbx=0x201027 rcx=0x60067
#: out [0x60010] = 79 56 34 12
.intel_syntax noprefix
.code32
    mov eax, ds:[0x400010]
    inc dword ptr ds:[0x400010]
    mov ebx, ds:[0x200004]      # accessed; dirty is not for a table
    mov ecx, ds:[0x201000]
    clc
#: out pf=? af=? zf=? sf=?
