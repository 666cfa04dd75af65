# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in rbp=0x3e800
#: in [0x3e7fc] = aa bb cc dd
#: out rbp=0x3e800 rsp=0x3f000 rax=0x3eff4 rbx=0x3effc
#: out [0x3effc] = 00 e8 03 00
#: out [0x3eff8] = aa bb cc dd
#: out [0x3eff4] = fc ef 03 00
.intel_syntax noprefix
.code32
    enter 16, 2
    lea eax, [esp+16]
    mov ebx, ebp
    leave
