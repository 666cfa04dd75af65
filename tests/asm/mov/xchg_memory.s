# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1122
#: in [0x20000] = 44 33
#: out [0x20000] = 22 11
#: out rax=0x3344
.intel_syntax noprefix
    xchg word ptr [0x20000], ax
