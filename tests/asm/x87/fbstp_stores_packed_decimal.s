# SPDX-License-Identifier: Apache-2.0
#: in [0x20000] = 2e fd ff ff ff ff ff ff
#: out [0x20010] = 22 07 00 00 00 00 00 00 00 80
.intel_syntax noprefix
    fninit
    fild qword ptr [0x20000]
    fbstp [0x20010]
