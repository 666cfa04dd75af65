# SPDX-License-Identifier: Apache-2.0
#: in rax=0xaaaaaaaaaaaaaaaa
#: in [0x20000] = 01 02
#: out rax=0xaaaaaaaaaaaa0102
.intel_syntax noprefix
    movbe ax, [0x20000]
