# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: in rcx=0x8000000000100000
#: fault #GP(0)
.intel_syntax noprefix
    mov cr3, rcx
