# SPDX-License-Identifier: Apache-2.0
#: in rax=0x0102030405060708 rbx=0x1122334411223344
#: out rax=0x0807060504030201 rbx=0x44332211
.intel_syntax noprefix
    bswap rax
    bswap ebx
