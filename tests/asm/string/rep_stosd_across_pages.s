# SPDX-License-Identifier: Apache-2.0
#: in rcx=3 rax=0x44332211 rdi=0x20ffa
#: out [0x20ffa] = 11 22 33 44 11 22 33 44 11 22 33 44
#: out rcx=0 rdi=0x21006
.intel_syntax noprefix
    rep stosd
