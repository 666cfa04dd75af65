# SPDX-License-Identifier: Apache-2.0
#: in rcx=0 rsi=0x50000 rdi=0x50000
#: instructions 1
.intel_syntax noprefix
    rep movsq
