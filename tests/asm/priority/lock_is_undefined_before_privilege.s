# SPDX-License-Identifier: Apache-2.0
#: cpl 3
#: fault #UD
.intel_syntax noprefix
    .byte 0xf0
    hlt
