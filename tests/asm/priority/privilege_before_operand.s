# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: fault #GP(0)
.intel_syntax noprefix
    lidt [0x50000]
