# SPDX-License-Identifier: Apache-2.0
#: in rax=0x81 zf=1 sf=1
#: out rax=0x81 cf=1 of=?
.intel_syntax noprefix
    rol al, 8
