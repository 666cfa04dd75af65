# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: fault #GP(0)
.intel_syntax noprefix
.code32
    mov byte ptr cs:[0x20000], 1
