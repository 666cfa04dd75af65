# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: cpl 0
#: in rax=0x1b
#: fault #GP(0x18)
.intel_syntax noprefix
.code32
    mov ss, ax
