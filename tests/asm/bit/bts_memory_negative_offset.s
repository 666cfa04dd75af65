# SPDX-License-Identifier: Apache-2.0
#: in rbx=0xffffffffffffffff rdi=0x20010
#: in [0x20008] = 00 00 00 00 00 00 00 00
#: out [0x20008] = 00 00 00 00 00 00 00 80
#: out cf=0 of=? sf=? af=? pf=?
.intel_syntax noprefix
    bts qword ptr [rdi], rbx
