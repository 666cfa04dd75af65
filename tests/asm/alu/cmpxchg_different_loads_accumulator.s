# SPDX-License-Identifier: Apache-2.0
#: in rax=0xaaaaaaaa00000001 rbx=0x99
#: in [0x20020] = 02 00 00 00
#: out rax=2 cf=1 sf=1 af=1 pf=1
.intel_syntax noprefix
    cmpxchg dword ptr [0x20020], ebx
