# SPDX-License-Identifier: Apache-2.0
#: in rax=0xaaaaaaaabbbbbbbb rcx=0x20 cf=1 zf=1 of=1
#: out rax=0xbbbbbbbb
.intel_syntax noprefix
    shl eax, cl
