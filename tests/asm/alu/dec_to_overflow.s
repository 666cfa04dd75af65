# SPDX-License-Identifier: Apache-2.0
#: in rax=0x80000000
#: out rax=0x7fffffff of=1 af=1 pf=1
.intel_syntax noprefix
    dec eax
