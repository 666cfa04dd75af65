# SPDX-License-Identifier: Apache-2.0
#: mode protected16
#: cpl 3
#: in rax=0x10000
#: fault #GP(0)
.intel_syntax noprefix
.code16
    call eax
