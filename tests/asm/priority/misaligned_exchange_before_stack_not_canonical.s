# SPDX-License-Identifier: Apache-2.0
#: in rbp=0x8000000000000008
#: fault #GP(0)
.intel_syntax noprefix
    cmpxchg16b [rbp]
