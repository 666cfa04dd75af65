# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in rax=0x78
#: fault #GP(0x78)
.intel_syntax noprefix
.code32
    mov fs, ax
