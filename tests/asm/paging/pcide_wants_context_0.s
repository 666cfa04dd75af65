# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: out rcx=0x100001 rdx=0x20620
#: fault #GP(0) at=0x10010
.intel_syntax noprefix
    mov ecx, 0x100001
    mov cr3, rcx
    mov edx, 0x20620
    .org 0x10, 0x90
    mov cr4, rdx
