# SPDX-License-Identifier: Apache-2.0
#: in rax=0x21
#: out rax=0x42 pf=1
.intel_syntax noprefix
    xadd eax, eax
