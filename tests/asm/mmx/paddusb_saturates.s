# SPDX-License-Identifier: Apache-2.0
#: in rax=0x01ff80fe10203040
#: in [0x20000] = 01 02 03 04 05 06 07 08
#: out [0x20008] = 41 32 23 14 ff 86 ff 09
.intel_syntax noprefix
    fninit
    movq mm3, rax
    paddusb mm3, [0x20000]
    movq [0x20008], mm3
    emms
