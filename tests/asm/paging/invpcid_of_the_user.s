# SPDX-License-Identifier: Apache-2.0
# Before the operand is looked at.
#: cpl 3
#: in rcx=2
#: fault #GP(0)
.intel_syntax noprefix
    invpcid rcx, [0x50000]
