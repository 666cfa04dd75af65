# SPDX-License-Identifier: Apache-2.0
#: in rax=0x7a rsp=0x3f000
#: out rsp=0x3f07a
.intel_syntax noprefix
    mov spl, al
