# SPDX-License-Identifier: Apache-2.0
#: fault #PF(3) cr2=0x51000 at=0x10004
.intel_syntax noprefix
    fninit
    fld1
    fstp qword ptr [0x51000]
