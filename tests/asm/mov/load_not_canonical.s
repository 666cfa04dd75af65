# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x800000000000
#: fault #GP(0)
.intel_syntax noprefix
    mov rax, qword ptr [rbx]
