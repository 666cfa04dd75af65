# SPDX-License-Identifier: Apache-2.0
#: in rax=0xff00 rbx=2
#: out rax=0x0080 cf=? of=? sf=? zf=? af=? pf=?
.intel_syntax noprefix
    idiv bl
