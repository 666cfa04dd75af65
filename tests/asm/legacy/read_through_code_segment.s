# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in rax=0
#: in [0x20000] = 77
#: out rax=0x77
.intel_syntax noprefix
.code32
    mov al, cs:[0x20000]
