# SPDX-License-Identifier: Apache-2.0
#: in rax=0x0107 rbx=0x10
#: out rax=0x0710 cf=? of=? sf=? zf=? af=? pf=?
.intel_syntax noprefix
    div bl
