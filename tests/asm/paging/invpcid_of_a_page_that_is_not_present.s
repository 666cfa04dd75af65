# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: in rcx=2
#: fault #PF(0) cr2=0x50000
.intel_syntax noprefix
    invpcid rcx, [0x50000]
