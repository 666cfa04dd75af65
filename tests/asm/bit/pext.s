# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1234 rcx=0xf00f
#: out rdx=0x14
.intel_syntax noprefix
    pext rdx, rax, rcx
