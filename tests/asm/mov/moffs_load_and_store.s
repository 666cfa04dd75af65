# SPDX-License-Identifier: Apache-2.0
#: in [0x20030] = 01 02 03 04 05 06 07 08
#: out [0x20040] = 01 02 03 04 05 06 07 08
#: out rax=0x0807060504030201
.intel_syntax noprefix
    movabs rax, qword ptr [0x20030]
    movabs qword ptr [0x20040], rax
