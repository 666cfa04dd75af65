# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x80000000
#: out rax=0 cf=0 zf=1 of=? sf=? af=? pf=?
.intel_syntax noprefix
    lzcnt eax, ebx
