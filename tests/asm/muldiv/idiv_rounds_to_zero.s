# SPDX-License-Identifier: Apache-2.0
#: in rax=0xfffffffffffffff9 rdx=0xffffffffffffffff rbx=2
#: out rax=0xfffffffffffffffd rdx=0xffffffffffffffff cf=? of=? sf=? zf=? af=? pf=?
.intel_syntax noprefix
    idiv rbx
