# SPDX-License-Identifier: Apache-2.0
#: in rsp=0x3f000
#: in [0x3f000] = 0a 00 01 00 00 00 00 00
#: out [0x3eff8] = 03 00 01 00 00 00 00 00
#: out rsp=0x3eff8
.intel_syntax noprefix
    call qword ptr [rsp]
    ud2
    ud2
    ud2
    nop
