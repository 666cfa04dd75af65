# SPDX-License-Identifier: Apache-2.0
#: in rax=0xb rcx=0xf0f0
#: out rdx=0xb0
.intel_syntax noprefix
    pdep rdx, rax, rcx
