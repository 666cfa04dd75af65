# SPDX-License-Identifier: Apache-2.0
# A guest with a virtual APIC sends itself an interrupt and ends it, writes its timer's entry, and
# reads its timer's count: reasons and qualifications of the exits, trap-like but for the last.
#: exit 5
#: [0x20000] = 2d 00 00 00 51 00 00 00
#: [0x20008] = 38 00 00 00 20 03 00 00
#: [0x20010] = 2c 00 00 00 90 03 00 00
#: [0x20018] = 12 00 00 00
#: [0x20100] = 01
#: [0x50320] = ef 00 01 00
.include "computer.inc"
.include "vmx.inc"
.set guest_idt, 0x40000
    enter_vmx
    control 0x4000, 0x48d, 1            # external-interrupt exiting
    control 0x4002, 0x48e, 0x80200000   # secondary controls, TPR shadow
    field 0x401e, 0x301                 # APIC accesses, registers, virtual-interrupt delivery
    field 0x2012, 0x50000
    field 0x2014, apic
    field 0x810, 0
    .irp bitmap, 0x201c, 0x2020, 0x2022
    field \bitmap, 0
    .endr
    field 0x201e, 0x20000               # vector 51H
    field 0x6818, guest_idt
    mov eax, offset interrupt
    mov word ptr ds:[guest_idt + 0x510], ax
    mov dword ptr ds:[guest_idt + 0x512], 0x18
    mov word ptr ds:[guest_idt + 0x515], 0x8e
    shr eax, 16
    mov word ptr ds:[guest_idt + 0x516], ax
    xor esi, esi
    mov edi, apic
    vmlaunch
    exit 98
host:
    get_field 0x4402                    # exit reason
    mov dword ptr ds:[0x20000 + rsi], eax
    cmp eax, 0x12
    je 1f
    mov ebx, eax
    get_field 0x6400                    # exit qualification
    mov dword ptr ds:[0x20004 + rsi], eax
    add esi, 8
    cmp ebx, 0x2c
    jne 2f
    get_field 0x440c                    # instruction length
    mov rbx, rax
    get_field 0x681e
    add rbx, rax
    field_rbx 0x681e
2:  vmresume
    exit 97
1:  exit 5
guest:
    sti
    nop
    mov dword ptr [rdi + 0x300], 0x40051
    mov dword ptr [rdi + 0x320], 0x100ef
    mov eax, [rdi + 0x390]
    vmcall
interrupt:
    inc byte ptr ds:[0x20100]
    mov dword ptr [rdi + 0xb0], 0
    iretq
