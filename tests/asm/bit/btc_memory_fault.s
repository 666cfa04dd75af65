# SPDX-License-Identifier: Apache-2.0
#: in rbx=0 rdi=0x51000 cf=1
#: fault #PF(3) cr2=0x51000
.intel_syntax noprefix
    btc dword ptr [rdi], ebx
