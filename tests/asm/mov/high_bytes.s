# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1122 rdx=0x3344
#: out rax=0x4422 rdx=0x3344
.intel_syntax noprefix
    mov ah, dl
