# SPDX-License-Identifier: Apache-2.0
#: in tf=1
#: fault #PF(0) cr2=0x50000
.intel_syntax noprefix
    mov eax, [0x50000]
