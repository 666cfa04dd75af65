# SPDX-License-Identifier: Apache-2.0
# Bits 2:1 of a pointer are reserved: the load of CR3 faults.
#: cpl 0
#: mode protected32
#: in cr0=0x80010033 cr3=0x200000 cr4=0x620 efer=0x800
#: in [0x200000] = 01 10 20 00 00 00 00 00 00 00 00 00 00 00 00 00
#: in [0x200010] = 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
#: in [0x201000] = 87 00 00 00 00 00 00 00 87 00 20 00 00 00 00 00
#: out rcx=0x200000
#: fault #GP(0) at=0x10010
.intel_syntax noprefix
.code32
    mov dword ptr ds:[0x200008], 0x201003
    mov ecx, 0x200000
    .org 0x10, 0x90
    mov cr3, ecx
