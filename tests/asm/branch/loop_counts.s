# SPDX-License-Identifier: Apache-2.0
#: in rcx=5 rax=0
#: out rax=5 rcx=0 pf=1
#: instructions 10
.intel_syntax noprefix
1:  inc eax
    loop 1b
