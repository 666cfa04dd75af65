# SPDX-License-Identifier: Apache-2.0
#: in [0x3f000] = 01 02 03 04 05 06 07 08
#: out [0x3f010] = 01 02 03 04 05 06 07 08
#: out rsp=0x3f008
.intel_syntax noprefix
    pop qword ptr [rsp+8]
