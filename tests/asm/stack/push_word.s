# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1122334455667788
#: out [0x3effe] = 88 77
#: out rsp=0x3effe
.intel_syntax noprefix
    push ax
