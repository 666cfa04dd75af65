# SPDX-License-Identifier: Apache-2.0
# The pointer in memory is taken away; the one in the processor serves until CR3 is loaded.
#: cpl 0
#: mode protected32
#: in cr0=0x80010033 cr3=0x200000 cr4=0x620 efer=0x800
#: in [0x200000] = 01 10 20 00 00 00 00 00 00 00 00 00 00 00 00 00
#: in [0x200010] = 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
#: in [0x201000] = 87 00 00 00 00 00 00 00 87 00 20 00 00 00 00 00
#: in [0x200018] = 00 00 00 00 00 00 00 00
#: in [0x60010] = 78 56 34 12
#: out rax=0x12345678 rcx=0x100000
.intel_syntax noprefix
.code32
    mov dword ptr ds:[0x200000], 0
    invlpg [0x60010]
    mov eax, ds:[0x60010]
    mov ecx, 0x100000
