# SPDX-License-Identifier: Apache-2.0
#: in rax=0x3 rbx=0xffffffff00020000
#: in [0x20003] = 7e
#: out rax=0x7e
.intel_syntax noprefix
    .byte 0x67
    xlatb
