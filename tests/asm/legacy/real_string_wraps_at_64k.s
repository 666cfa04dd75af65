# SPDX-License-Identifier: Apache-2.0
# DI counts in 16 bits: after FFFFH comes 0, and the upper half of RDI stays.
#: mode real16
#: in rax=0x42 rcx=0x77770002 rdi=0x5555ffff
#: out rcx=0x77770000 rdi=0x55550001
#: out [0x20000] = 42
#: out [0x2ffff] = 42
.intel_syntax noprefix
.code16
    rep stosb
