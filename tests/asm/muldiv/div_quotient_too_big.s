# SPDX-License-Identifier: Apache-2.0
#: in rax=0 rdx=5 rbx=5
#: fault #DE
.intel_syntax noprefix
    div ebx
