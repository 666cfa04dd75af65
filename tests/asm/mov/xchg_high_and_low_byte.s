# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1122
#: out rax=0x2211
.intel_syntax noprefix
    xchg ah, al
