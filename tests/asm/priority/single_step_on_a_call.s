# SPDX-License-Identifier: Apache-2.0
# IA32_DEBUGCTL.BTF: the call traps at its target, before the return that is there.
#: cpl 0
#: out rax=0x2 rcx=0x1d9 rdx=0x0 rsp=0x3eff8 tf=1
#: out [0x3eff8] = 1f 00 01 00 00 00 00 00
#: fault #DB at=0x10020
.intel_syntax noprefix
    mov ecx, 0x1d9
    mov eax, 2
    mov edx, 0
    wrmsr
    pushfq
    or byte ptr [rsp + 1], 1
    popfq
    nop
    nop
    call 1f
    hlt
1:  ret
