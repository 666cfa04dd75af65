# SPDX-License-Identifier: Apache-2.0
#: in rax=0xffffffffffffffff rbx=0 cf=1 of=1 sf=1
#: out rax=0 cf=1
.intel_syntax noprefix
    adcx rax, rbx
