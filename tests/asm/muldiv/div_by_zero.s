# SPDX-License-Identifier: Apache-2.0
#: in rax=1 rdx=0 rbx=0 cf=1
#: fault #DE
.intel_syntax noprefix
    div rbx
