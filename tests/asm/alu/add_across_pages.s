# SPDX-License-Identifier: Apache-2.0
#: in rax=1 rbx=0x21000
#: in [0x20ffe] = ff ff ff ff
#: out [0x20ffe] = 00 00 00 00
#: out zf=1 cf=1 pf=1 af=1
.intel_syntax noprefix
    add dword ptr [rbx-2], eax
