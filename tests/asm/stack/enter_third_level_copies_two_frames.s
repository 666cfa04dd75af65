# SPDX-License-Identifier: Apache-2.0
#: in rsp=0x3f000 rbp=0x30010
#: in [0x30000] = 02 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00
#: out rbp=0x3eff8 rsp=0x3efe0
#: out [0x3eff8] = 10 00 03 00 00 00 00 00
#: out [0x3eff0] = 01 00 00 00 00 00 00 00
#: out [0x3efe8] = 02 00 00 00 00 00 00 00
#: out [0x3efe0] = f8 ef 03 00 00 00 00 00
.intel_syntax noprefix
    enter 0, 3
