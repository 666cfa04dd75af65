# SPDX-License-Identifier: Apache-2.0
#: in rax=0xffffffffffffffff
#: out rax=0xffffffff
.intel_syntax noprefix
    .byte 0x87, 0xc0
