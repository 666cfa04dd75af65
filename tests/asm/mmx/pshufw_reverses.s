# SPDX-License-Identifier: Apache-2.0
#: in rax=0x4444333322221111
#: out [0x20000] = 44 44 33 33 22 22 11 11
.intel_syntax noprefix
    fninit
    movq mm1, rax
    pshufw mm0, mm1, 0x1b
    movntq [0x20000], mm0
    emms
