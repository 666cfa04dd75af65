# SPDX-License-Identifier: Apache-2.0
#: in rax=1 rdx=2 rbx=3 rcx=4 cf=1
#: in [0x20020] = 01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00
#: out [0x20020] = 03 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00
#: out zf=1
.intel_syntax noprefix
    lock cmpxchg16b xmmword ptr [0x20020]
