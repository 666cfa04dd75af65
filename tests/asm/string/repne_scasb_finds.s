# SPDX-License-Identifier: Apache-2.0
#: in rcx=10 rax=0x33 rdi=0x20000
#: in [0x20000] = 11 22 33 44
#: out rcx=7 rdi=0x20003 zf=1 pf=1
#: instructions 3
.intel_syntax noprefix
    repne scasb
