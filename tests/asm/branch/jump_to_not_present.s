# SPDX-License-Identifier: Apache-2.0
#: in rax=0x50123
#: out rax=0x50123
#: fault #PF(0x10) cr2=0x50123 at=0x50123
.intel_syntax noprefix
    jmp rax
