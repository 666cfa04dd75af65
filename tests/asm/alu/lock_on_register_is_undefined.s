# SPDX-License-Identifier: Apache-2.0
#: fault #UD
.intel_syntax noprefix
    .byte 0xf0, 0x01, 0xc8
