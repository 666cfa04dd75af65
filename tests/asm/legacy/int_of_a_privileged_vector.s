# SPDX-License-Identifier: Apache-2.0
# The gate's DPL is 0: vector * 8 + 2.
#: mode protected32
#: cpl 3
#: fault #GP(0x10a)
.intel_syntax noprefix
.code32
    int 0x21
