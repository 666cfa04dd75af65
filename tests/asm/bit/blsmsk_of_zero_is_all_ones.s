# SPDX-License-Identifier: Apache-2.0
#: in rax=0 zf=1
#: out rcx=0xffffffff cf=1 sf=1 zf=0 af=? pf=?
.intel_syntax noprefix
    blsmsk ecx, eax
