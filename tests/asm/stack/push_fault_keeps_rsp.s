# SPDX-License-Identifier: Apache-2.0
#: in rsp=0x51010
#: fault #PF(3) cr2=0x51008
.intel_syntax noprefix
    push rax
