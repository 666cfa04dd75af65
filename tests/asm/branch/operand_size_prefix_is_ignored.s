# SPDX-License-Identifier: Apache-2.0
# Intel's way: all 64 bits of RIP and 8 bytes of return address.
#: in rsp=0x3f000
#: out rax=1 rsp=0x3eff8
#: out [0x3eff8] = 06 00 01 00 00 00 00 00
.intel_syntax noprefix
    .byte 0x66, 0xe8, 0, 0, 0, 0    # call next, 32 bits of displacement
    .byte 0x66, 0xeb, 0             # jmp next
    mov eax, 1
