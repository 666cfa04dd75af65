# SPDX-License-Identifier: Apache-2.0
#: out [0x20000] = 7f 03 ff ff 00 30 ff ff ff 1f ff ff 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ff ff 00 00 00 00 00 00 00 00 00 00
#: out [0x20026] = 00 00 00 00 00 00 00 80 ff 3f 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
#: out rax=0
#: out [0x20100] = 00 00 00 00 00 00 00 00 00 00
#: out [0x20110] = 00 00 00 00 00 00 00 80 ff 3f
.intel_syntax noprefix
    fninit
    fld1
    fldz
    fnsave [0x20000]
    mov eax, 0
    fnstsw ax
    frstor [0x20000]
    fstp tbyte ptr [0x20100]
    fstp tbyte ptr [0x20110]
