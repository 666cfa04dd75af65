# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: cpl 3
#: fault #GP(0x38)
.intel_syntax noprefix
.code32
    .byte 0xea
    .long 0x10000
    .word 0x38
