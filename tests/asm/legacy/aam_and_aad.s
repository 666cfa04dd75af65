# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in rax=0x4f
#: out rax=0x4f rbx=0x0709 sf=0 zf=0 pf=0 cf=? af=? of=?
.intel_syntax noprefix
.code32
    aam
    movzx ebx, ax
    aad
