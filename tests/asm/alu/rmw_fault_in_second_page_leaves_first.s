# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x4fffe rax=1 cf=1
#: fault #PF(2) cr2=0x50000
.intel_syntax noprefix
    adc dword ptr [rbx], eax
