# SPDX-License-Identifier: Apache-2.0
#: in rax=0x50
#: out rcx=0x10 cf=1 af=? pf=?
.intel_syntax noprefix
    blsi rcx, rax
