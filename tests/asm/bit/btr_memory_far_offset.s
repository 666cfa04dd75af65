# SPDX-License-Identifier: Apache-2.0
#: in rbx=0x8005 rdi=0x20000
#: in [0x21000] = 20 00 00 00
#: out [0x21000] = 00 00 00 00
#: out cf=1 of=? sf=? af=? pf=?
.intel_syntax noprefix
    btr dword ptr [rdi], ebx
