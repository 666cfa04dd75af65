# SPDX-License-Identifier: Apache-2.0
# 35 - 47 = 88 with a borrow (SDM 2A, "DAS", Example: 3535H less 47H in AL is 88H).
#: mode protected32
#: in rax=0x35 rbx=0x47
#: out rax=0x88 cf=1 af=1 zf=0 sf=1 pf=1 of=?
.intel_syntax noprefix
.code32
    sub al, bl
    das
