# SPDX-License-Identifier: Apache-2.0
#: fault #PF(0) cr2=0x50004
.intel_syntax noprefix
    clflushopt [0x50004]
