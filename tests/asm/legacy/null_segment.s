# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in rbx=0
#: fault #GP(0) at=0x10002
.intel_syntax noprefix
.code32
    mov ds, ebx
    mov al, [0x20000]
