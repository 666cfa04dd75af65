# SPDX-License-Identifier: Apache-2.0
#: in rax=5 rbx=5
#: out zf=1 pf=1
.intel_syntax noprefix
    cmp rax, rbx
