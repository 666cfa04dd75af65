# SPDX-License-Identifier: Apache-2.0
#: in rax=0x12345678 rbx=0xabcdef01
#: out rax=0x2345678a cf=1 of=? af=? pf=0
.intel_syntax noprefix
    shld eax, ebx, 4
