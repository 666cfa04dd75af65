# SPDX-License-Identifier: Apache-2.0
#: in rax=0xffffffff
#: in [0x20000] = 31 32 33 34 35 36 37 38 39
#: out rax=0x1cf96d7c
.intel_syntax noprefix
    crc32 rax, qword ptr [0x20000]
    crc32 eax, byte ptr [0x20008]
