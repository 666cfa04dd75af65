# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in [0x3f000] = 01 00 00 00 02 00 00 00 03 00 00 00 99 99 99 99
#: in [0x3f010] = 04 00 00 00 05 00 00 00 06 00 00 00 07 00 00 00
#: out rdi=1 rsi=2 rbp=3 rbx=4 rdx=5 rcx=6 rax=7 rsp=0x3f020
.intel_syntax noprefix
.code32
    popad
