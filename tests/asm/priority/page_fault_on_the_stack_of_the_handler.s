# SPDX-License-Identifier: Apache-2.0
# #UD takes the stack that it finds, and that is not there.
#: cpl 0
#: in [0x2064] = 00
#: in rsp=0x51000
#: fault #PF(2) cr2=0x50ff8
.intel_syntax noprefix
    ud2
