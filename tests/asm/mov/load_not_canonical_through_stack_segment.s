# SPDX-License-Identifier: Apache-2.0
#: in rbp=0x800000000000
#: fault #SS(0)
.intel_syntax noprefix
    mov rax, qword ptr [rbp+8]
