# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: cpl 3
#: in cr0=0x40031 ac=1 rax=1
#: in [0x20002] = 00 00 02 00
#: fault #AC(0) at=0x10007
.intel_syntax noprefix
.code32
    bound ax, [0x20002]
    bound eax, [0x20002]
