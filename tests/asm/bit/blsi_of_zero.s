# SPDX-License-Identifier: Apache-2.0
#: in rax=0 cf=1 of=1
#: out rcx=0 cf=0 of=0 zf=1 af=? pf=?
.intel_syntax noprefix
    blsi rcx, rax
