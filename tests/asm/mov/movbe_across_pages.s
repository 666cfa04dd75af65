# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x11223344
#: out [0x20ffe] = 11 22 33 44
.intel_syntax noprefix
    movbe [0x20ffe], ebx
