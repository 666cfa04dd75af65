# SPDX-License-Identifier: Apache-2.0
#: mode real16
#: in rbp=0xffff
#: fault #SS
.intel_syntax noprefix
.code16
    mov ax, [bp]
