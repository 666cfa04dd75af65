# SPDX-License-Identifier: Apache-2.0
#: in rax=0x8001fffe7fff8080
#: out rcx=0x7fff rdx=0xb7
#: out rbx=2
.intel_syntax noprefix
    fninit
    mov rbx, 2
    movq mm5, rax
    pextrw ecx, mm5, 1
    pmovmskb edx, mm5
    emms
