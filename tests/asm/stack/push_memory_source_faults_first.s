# SPDX-License-Identifier: Apache-2.0
#: in rsp=0x51010
#: fault #PF(0) cr2=0x50000
.intel_syntax noprefix
    push qword ptr [0x50000]
