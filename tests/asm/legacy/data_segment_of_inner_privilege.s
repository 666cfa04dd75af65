# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: cpl 3
#: in rax=0x10
#: fault #GP(0x10)
.intel_syntax noprefix
.code32
    mov ds, ax
