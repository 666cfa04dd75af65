# SPDX-License-Identifier: Apache-2.0
#: fault #UD
.intel_syntax noprefix
    .byte 0xf0
    shl dword ptr [0x20000], 1
