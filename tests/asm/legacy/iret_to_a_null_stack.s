# SPDX-License-Identifier: Apache-2.0
# SS = 0 may follow only where 64-bit code of CPL 0 to 2 does.
#: mode protected32
#: cpl 0
#: in rsp=0x3efec
#: in [0x3efec] = 00 01 01 00 43 00 00 00 02 00 00 00 00 d0 03 00 03 00 00 00
#: fault #GP(0)
.intel_syntax noprefix
.code32
    iretd
