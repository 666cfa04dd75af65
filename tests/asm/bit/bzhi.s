# SPDX-License-Identifier: Apache-2.0
#: in rax=0xffffffffffffffff rcx=0x10c
#: out rdx=0xfff af=? pf=?
.intel_syntax noprefix
    bzhi rdx, rax, rcx
