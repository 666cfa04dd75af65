# SPDX-License-Identifier: Apache-2.0
# 40H to 4FH are no prefixes here.
#: mode compat32
#: in rax=1 rbx=1
#: out rax=2 rbx=0 zf=1 pf=1
.intel_syntax noprefix
.code32
    .byte 0x40
    .byte 0x4b
