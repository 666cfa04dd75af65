# SPDX-License-Identifier: Apache-2.0
# Bits 20:13 of the entry are bits 39:32 of the address. Nothing is there: all ones.
#: mode protected32
#: in cr0=0x80010033 cr3=0x200000 cr4=0x610
#: in [0x200000] = 87 00 00 00 87 20 00 00
#: out rax=0xffffffff
.intel_syntax noprefix
.code32
    mov eax, ds:[0x400010]
