# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x1122334455667788
#: in [0x20000] = 01 02 03 04 05 06 07 08
#: out rax=0x0102030405060708 rcx=0x01020304
#: out [0x20010] = 11 22 33 44 55 66 77 88
.intel_syntax noprefix
    movbe rax, [0x20000]
    movbe ecx, [0x20000]
    movbe [0x20010], rbx
