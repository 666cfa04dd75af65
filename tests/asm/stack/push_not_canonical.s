# SPDX-License-Identifier: Apache-2.0
#: in rsp=0x800000000008
#: fault #SS(0)
.intel_syntax noprefix
    push rax
