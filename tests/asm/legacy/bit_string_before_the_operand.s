# SPDX-License-Identifier: Apache-2.0
#: mode real16
#: in rbx=0x10 rcx=0xffff
#: out cf=1
#: out [0x2000e] = a5 25
.intel_syntax noprefix
.code16
    btr [bx], cx
