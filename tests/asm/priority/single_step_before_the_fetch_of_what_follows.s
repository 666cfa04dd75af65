# SPDX-License-Identifier: Apache-2.0
#: in tf=1 rcx=0x50000
#: fault #DB at=0x50000
.intel_syntax noprefix
    jmp rcx
