# SPDX-License-Identifier: Apache-2.0
#: in rax=0x0101010101010101
#: in [0x20010] = ff 00 00 00 00 00 00 80
#: out [0x20010] = 00 02 01 01 01 01 01 81
#: out sf=1 pf=1 af=1
.intel_syntax noprefix
    add qword ptr [0x20010], rax
