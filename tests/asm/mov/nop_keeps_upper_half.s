# SPDX-License-Identifier: Apache-2.0
#: in rax=0xffffffffffffffff
#: out rax=0xffffffffffffffff
.intel_syntax noprefix
    nop
