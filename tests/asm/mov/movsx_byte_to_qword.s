# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 80
#: out rax=0xffffffffffffff80
.intel_syntax noprefix
    movsx rax, byte ptr [0x20000]
