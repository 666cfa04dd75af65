# SPDX-License-Identifier: Apache-2.0
#: in rax=0x5a cf=1
#: out rax=0x5a cf=1 of=?
.intel_syntax noprefix
    rcl al, 9
