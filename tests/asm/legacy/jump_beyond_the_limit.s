# SPDX-License-Identifier: Apache-2.0
# A 32-bit jump in a 16-bit segment of 64 KiB: #GP(0), before anything changes.
#: mode protected16
#: in rax=0x10000
#: fault #GP(0)
.intel_syntax noprefix
.code16
    jmp eax
