# SPDX-License-Identifier: Apache-2.0
# A deadline of 0 has passed: no wait, and every status flag is cleared.
#: in rax=0 rdx=0 rcx=1 cf=1 zf=1 sf=1 of=1 pf=1 af=1
#: out cf=0 zf=0 sf=0 of=0 pf=0 af=0
.intel_syntax noprefix
    tpause ecx
