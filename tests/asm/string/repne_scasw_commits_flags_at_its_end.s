# SPDX-License-Identifier: Apache-2.0
#: in rcx=4 rdi=0x20000 rax=0x1234 cf=1 of=1
#: stop 3 rip=0x10000
#: out rcx=1 rdi=0x20006
.intel_syntax noprefix
    repne scasw
