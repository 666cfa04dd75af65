# SPDX-License-Identifier: Apache-2.0
#: mode real16
#: in rbx=0x10000
#: fault #GP
.intel_syntax noprefix
.code16
    mov al, [ebx]
