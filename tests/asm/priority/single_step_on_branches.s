# SPDX-License-Identifier: Apache-2.0
# IA32_DEBUGCTL.BTF: neither what is no branch nor a branch that is not taken traps; the next one does.
#: cpl 0
#: out rax=0x5 rcx=0x1d9 rdx=0x0 tf=1
#: out [0x3eff8] = 02 01 00 00 00 00 00 00
#: fault #DB at=0x10025
.intel_syntax noprefix
    mov ecx, 0x1d9
    mov eax, 2
    mov edx, 0
    wrmsr
    pushfq
    or byte ptr [rsp + 1], 1
    popfq
    mov eax, 4
    jc 1f
    lea eax, [rax + 1]
    jmp 1f
    hlt
1:  mov eax, 7
