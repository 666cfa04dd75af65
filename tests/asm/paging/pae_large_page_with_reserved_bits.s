# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in cr0=0x80010033 cr3=0x200000 cr4=0x620 efer=0x800
#: in [0x200000] = 01 10 20 00 00 00 00 00 00 00 00 00 00 00 00 00
#: in [0x200010] = 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
#: in [0x201000] = 87 00 00 00 00 00 00 00 87 20 00 00 00 00 00 00
#: fault #PF(9) cr2=0x200010
.intel_syntax noprefix
.code32
    mov eax, ds:[0x200010]
