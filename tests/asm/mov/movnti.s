# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1122334455667788
#: out [0x20000] = 88 77 66 55 44 33 22 11
.intel_syntax noprefix
    movnti [0x20000], rax
