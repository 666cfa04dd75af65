# SPDX-License-Identifier: Apache-2.0
#: in rax=0 rbx=0x80 rcx=1
#: out rax=0x7f af=? zf=0 pf=0 cf=0 of=0 sf=0
.intel_syntax noprefix
    cmp bl, cl
    jo 1f
    ud2
1:  or al, 1
    cmp bl, cl
    jl 1f
    ud2
1:  or al, 2
    cmp bl, cl
    ja 1f
    ud2
1:  or al, 4
    cmp cl, cl
    jbe 1f
    ud2
1:  or al, 8
    cmp cl, cl
    jp 1f
    ud2
1:  or al, 0x10
    cmp cl, cl
    jns 1f
    ud2
1:  or al, 0x20
    cmp cl, bl
    jg 1f
    ud2
1:  or al, 0x40
