# SPDX-License-Identifier: Apache-2.0
# The second element lies in a page of its own.
#: cpl 3
#: in cr0=0x80050033 ac=1 rcx=3 rdi=0x20001 rax=0x55
#: fault #AC(0)
.intel_syntax noprefix
    rep stosd
