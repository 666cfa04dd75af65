# SPDX-License-Identifier: Apache-2.0
#: in rax=0x8000 rdx=0x1111111111111111
#: out rdx=0x111111111111ffff
.intel_syntax noprefix
    cwd
