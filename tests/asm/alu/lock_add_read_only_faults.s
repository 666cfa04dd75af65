# SPDX-License-Identifier: Apache-2.0
#: in rax=1 cf=1
#: fault #PF(3) cr2=0x51010
.intel_syntax noprefix
    lock add qword ptr [0x51010], rax
