# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in rax=5 rbx=0xfffffffe
#: in [0x20000] = ff ff ff ff 05 00 00 00
#: fault #BR at=0x10006
.intel_syntax noprefix
.code32
    bound eax, [0x20000]
    bound ebx, [0x20000]
