# SPDX-License-Identifier: Apache-2.0
#: in rax=0x1100 cf=1
#: out rax=0x1100 cf=0 zf=1 pf=1
.intel_syntax noprefix
    neg al
