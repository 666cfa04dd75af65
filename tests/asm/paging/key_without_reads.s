# SPDX-License-Identifier: Apache-2.0
# Protection key 1 may not be read: neither by the user nor by the kernel.
#: in cr4=0x400620 pkru=4
#: in [0x103300] = 07 00 06 00 00 00 00 08
#: fault #PF(0x21) cr2=0x60010
.intel_syntax noprefix
    mov eax, [0x60010]
