# SPDX-License-Identifier: Apache-2.0
#: in rbp=0x50000
#: fault #PF(0) cr2=0x50000
.intel_syntax noprefix
    leave
