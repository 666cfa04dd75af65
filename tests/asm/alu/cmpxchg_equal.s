# SPDX-License-Identifier: Apache-2.0
#: in rax=0x11223344 rbx=0x99
#: in [0x20020] = 44 33 22 11
#: out [0x20020] = 99 00 00 00
#: out zf=1 pf=1
.intel_syntax noprefix
    lock cmpxchg dword ptr [0x20020], ebx
