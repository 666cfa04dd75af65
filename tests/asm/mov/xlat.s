# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1103 rbx=0x20000
#: in [0x20003] = 7e
#: out rax=0x117e
.intel_syntax noprefix
    xlatb
