# SPDX-License-Identifier: Apache-2.0
#: in [0x3f000] = 01 02 03 04 05 06 07 08
#: fault #PF(3) cr2=0x51000
.intel_syntax noprefix
    pop qword ptr [0x51000]
