# SPDX-License-Identifier: Apache-2.0
#: in rsp=0x50008
#: fault #PF(2) cr2=0x50000
.intel_syntax noprefix
    call 1f
1:
