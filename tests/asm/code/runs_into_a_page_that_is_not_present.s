# SPDX-License-Identifier: Apache-2.0
#: at 0x4fffd
#: fault #PF(0x10) cr2=0x50000 at=0x4fffd
.intel_syntax noprefix
    .byte 0x48, 0xb8, 0x11
