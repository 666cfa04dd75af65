# SPDX-License-Identifier: Apache-2.0
#: mode protected16
#: in rsi=0x10000
#: out rbx=1
.intel_syntax noprefix
.code16
    umonitor si
    mov ebx, 1
