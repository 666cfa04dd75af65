# SPDX-License-Identifier: Apache-2.0
# A word at FFFFH reaches beyond the limit; real mode pushes no error code.
#: mode real16
#: in rbx=0xffff
#: fault #GP
.intel_syntax noprefix
.code16
    mov ax, [bx]
