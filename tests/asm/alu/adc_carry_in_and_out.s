# SPDX-License-Identifier: Apache-2.0
#: in rax=0xffffffff rbx=0 cf=1
#: out rax=0 cf=1 zf=1 pf=1 af=1
.intel_syntax noprefix
    adc eax, ebx
