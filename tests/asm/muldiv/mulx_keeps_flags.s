# SPDX-License-Identifier: Apache-2.0
#: in rdx=0xffffffffffffffff rax=2 cf=1 of=1 zf=1
#: out rbx=0xfffffffffffffffe rcx=1
.intel_syntax noprefix
    mulx rcx, rbx, rax
