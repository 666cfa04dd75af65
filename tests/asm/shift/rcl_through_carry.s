# SPDX-License-Identifier: Apache-2.0
#: in rax=0x80 cf=1
#: out rax=0x01 cf=1 of=1
.intel_syntax noprefix
    rcl al, 1
