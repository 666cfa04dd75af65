# SPDX-License-Identifier: Apache-2.0
#: in rax=0x53004
#: fault #PF(0x11) cr2=0x53004 at=0x53004
.intel_syntax noprefix
    jmp rax
