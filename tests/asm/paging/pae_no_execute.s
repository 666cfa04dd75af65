# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in cr0=0x80010033 cr3=0x200000 cr4=0x620 efer=0x800
#: in [0x200000] = 01 10 20 00 00 00 00 00 00 00 00 00 00 00 00 00
#: in [0x200010] = 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
#: in [0x201000] = 87 00 00 00 00 00 00 00 07 20 20 00 00 00 00 00
#: in [0x202000] = 07 00 06 00 00 00 00 80
#: in rax=0x200010
#: fault #PF(0x11) cr2=0x200010 at=0x200010
.intel_syntax noprefix
.code32
    jmp eax
