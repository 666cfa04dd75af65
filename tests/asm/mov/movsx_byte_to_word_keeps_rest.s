# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1111111111111111 rbx=0xfe
#: out rax=0x111111111111fffe
.intel_syntax noprefix
    movsx ax, bl
