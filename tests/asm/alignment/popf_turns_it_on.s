# SPDX-License-Identifier: Apache-2.0
# The load before POPF has filled what is asked first.
#: cpl 3
#: in cr0=0x80050033
#: out rax=? ac=1
#: out [0x3eff8] = 02 00 04 00 00 00 00 00
#: fault #AC(0) at=0x1000d
.intel_syntax noprefix
    mov eax, [0x20002]
    push 0x40002
    popfq
    mov eax, [0x20002]
