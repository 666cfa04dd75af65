# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in cr0=0x80010033 cr3=0x200000 cr4=0x610
#: in [0x200000] = 87 00 00 00 87 00 20 00
#: fault #PF(9) cr2=0x400010
.intel_syntax noprefix
.code32
    mov eax, ds:[0x400010]
