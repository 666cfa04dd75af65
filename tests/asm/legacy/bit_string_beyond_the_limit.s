# SPDX-License-Identifier: Apache-2.0
# The bit offset leads to the word at FFFFH.
#: mode protected16
#: in rbx=0xfff1 rcx=0x70
#: fault #GP(0)
.intel_syntax noprefix
.code16
    bts [bx], cx
