# SPDX-License-Identifier: Apache-2.0
#: fault #UD
.intel_syntax noprefix
    .byte 0x0f, 0x22, 0xc8      # MOV CR1, RAX
