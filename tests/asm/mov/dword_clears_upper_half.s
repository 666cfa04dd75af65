# SPDX-License-Identifier: Apache-2.0
#: in rax=0xffffffffffffffff
#: out rbx=0xffffffff
.intel_syntax noprefix
    mov ebx, eax
