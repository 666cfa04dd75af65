# SPDX-License-Identifier: Apache-2.0
#: in rcx=3
#: in [0x20100] = fe
#: out [0x20100] = 01
#: out rcx=0xfe cf=1 af=1
.intel_syntax noprefix
    lock xadd byte ptr [0x20100], cl
