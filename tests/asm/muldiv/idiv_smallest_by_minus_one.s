# SPDX-License-Identifier: Apache-2.0
#: in rax=0 rdx=0x8000000000000000 rbx=0xffffffffffffffff
#: fault #DE
.intel_syntax noprefix
    idiv rbx
