# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: in rbx=0x52000
#: fault #PF(3) cr2=0x52000
.intel_syntax noprefix
    mov byte ptr [rbx], 1
