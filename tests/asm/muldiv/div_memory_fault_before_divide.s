# SPDX-License-Identifier: Apache-2.0
#: in rax=1 rdx=0
#: fault #PF(0) cr2=0x50010
.intel_syntax noprefix
    div qword ptr [0x50010]
