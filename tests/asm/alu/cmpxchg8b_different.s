# SPDX-License-Identifier: Apache-2.0
#: in rax=0xffffffff00000001 rdx=0xffffffff00000002 cf=1 sf=1 zf=1
#: in [0x20020] = 03 00 00 00 04 00 00 00
#: out rax=3 rdx=4 zf=0
.intel_syntax noprefix
    cmpxchg8b qword ptr [0x20020]
