# SPDX-License-Identifier: Apache-2.0
#: at 0x52fff
#: cpl 0
#: fault #PF(0x11) cr2=0x53000 at=0x52fff
.intel_syntax noprefix
    .byte 0xb0
