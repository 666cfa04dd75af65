# SPDX-License-Identifier: Apache-2.0
#: mode real16
#: in rax=0x10 rbx=0xfff8
#: in [0x20008] = 3c
#: out rax=0x3c
.intel_syntax noprefix
.code16
    xlatb
