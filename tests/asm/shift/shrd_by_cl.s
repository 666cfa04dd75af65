# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1122334455667788 rbx=0x99 rcx=8
#: out rax=0x9911223344556677 cf=1 sf=1 of=? af=? pf=1
.intel_syntax noprefix
    shrd rax, rbx, cl
