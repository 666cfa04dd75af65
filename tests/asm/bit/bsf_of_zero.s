# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1122334455667788 rbx=0
#: out zf=1 cf=? of=? sf=? af=? pf=?
.intel_syntax noprefix
    bsf rax, rbx
