# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1122334455667788
#: out [0x3eff8] = 88 77 66 55 44 33 22 11
#: out rbx=0x1122334455667788
.intel_syntax noprefix
    push rax
    pop rbx
