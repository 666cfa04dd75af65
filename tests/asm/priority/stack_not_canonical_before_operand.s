# SPDX-License-Identifier: Apache-2.0
#: in rsp=0x8000000000000000
#: fault #SS(0)
.intel_syntax noprefix
    pop rax
