# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: cpl 0
#: fault #GP(0x10)
.intel_syntax noprefix
.code32
    .byte 0xea
    .long 0x10000
    .word 0x10
