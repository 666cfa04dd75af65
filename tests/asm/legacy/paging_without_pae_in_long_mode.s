# SPDX-License-Identifier: Apache-2.0
# EFER.LME is set, CR4.PAE is not: paging cannot be turned on.
#: mode protected32
#: cpl 0
#: fault #GP(0) at=0x10100
#: out rax=? rcx=? rdx=? zf=? sf=? pf=?
.intel_syntax noprefix
.code32
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x100
    wrmsr
    mov eax, cr0
    or eax, 0x80000000
    jmp next
.org 0x100
next:
    mov cr0, eax
