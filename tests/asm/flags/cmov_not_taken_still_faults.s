# SPDX-License-Identifier: Apache-2.0
#: in zf=0
#: fault #PF(0) cr2=0x50000
.intel_syntax noprefix
    cmovz eax, dword ptr [0x50000]
