# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: in rax=0x33
#: fault #GP(0)
.intel_syntax noprefix
    mov cr0, rax
