# SPDX-License-Identifier: Apache-2.0
#: at 0x10fff
#: out rbx=0x13131313131313ee
#: in rbx=0x1313131313131313
.intel_syntax noprefix
    nop
    mov bl, 0xee
