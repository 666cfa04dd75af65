# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: cpl 3
#: in cr0=0x40031 ac=1
#: fault #AC(0)
.intel_syntax noprefix
.code32
    mov eax, [0x20002]
