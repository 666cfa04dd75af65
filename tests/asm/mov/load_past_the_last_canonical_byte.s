# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x7ffffffffffc
#: fault #PF(0) cr2=0x7ffffffffffc
.intel_syntax noprefix
    mov eax, dword ptr [rbx]
