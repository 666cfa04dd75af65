# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: in rcx=2
#: in [0x20000] = 00 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00
#: fault #GP(0)
.intel_syntax noprefix
    invpcid rcx, [0x20000]
