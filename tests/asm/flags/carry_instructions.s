# SPDX-License-Identifier: Apache-2.0
#: in rax=0 rbx=0 zf=1 sf=1
#: out rax=1 rbx=1 cf=0
.intel_syntax noprefix
    stc
    setc al
    cmc
    setnc bl
    clc
