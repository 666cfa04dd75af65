# SPDX-License-Identifier: Apache-2.0
#: out rax=1
.intel_syntax noprefix
    prefetchw [0x50000]
    prefetchwt1 [0x50000]
    prefetcht0 [0x50000]
    mov eax, 1
