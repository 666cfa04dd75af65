# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x80000001
#: out rax=0xffffffff80000001
.intel_syntax noprefix
    movsxd rax, ebx
