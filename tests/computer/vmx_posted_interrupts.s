# SPDX-License-Identifier: Apache-2.0
# Processor 1 posts an interrupt three times for the guest that processor 0 runs, halted; only the
# guest's VMCALL is an exit. Each notification must have left the local APIC, or the next one would
# not come.
#: processors 2
#: exit 5
#: [0x20000] = 12 00 00 00 00 00 00 00
#: [0x20010] = 01 03
#: [0x5100a] = 00
#: [0x51020] = 00
#: [0x500a0] = 00
#: [0x50122] = 00
#: [0x50222] = 00
.include "computer.inc"
.include "vmx.inc"
.set guest_idt, 0x40000
.set virtual_page, 0x50000
.set descriptor, 0x51000
    enable_apic
    start_second
    enter_vmx
    control 0x4000, 0x48d, 0x81         # external-interrupt exiting, posted interrupts
    control 0x4002, 0x48e, 0x90200000   # secondary controls, MSR bitmaps, TPR shadow
    control 0x400c, 0x48f, 0x308200     # acknowledge interrupt on exit, too
    field 0x401e, 0x210                 # x2APIC mode, virtual-interrupt delivery
    field 0x2004, 0x52000
    field 0x2012, virtual_page
    field 0x2016, descriptor
    field 2, 0xf2
    field 0x810, 0
    .irp bitmap, 0x201c, 0x201e, 0x2020, 0x2022
    field \bitmap, 0
    .endr
    field 0x6818, guest_idt
    mov eax, offset interrupt
    mov word ptr ds:[guest_idt + 0x510], ax
    mov dword ptr ds:[guest_idt + 0x512], 0x18
    mov word ptr ds:[guest_idt + 0x515], 0x8e
    shr eax, 16
    mov word ptr ds:[guest_idt + 0x516], ax
    vmlaunch
    exit 98
host:
    get_field 0x4402                    # exit reason
    mov dword ptr ds:[0x20000], eax
    get_field 0x810                     # guest interrupt status
    mov dword ptr ds:[0x20004], eax
    exit 5
guest:
    mov byte ptr ds:[0x20010], 1
    sti
1:  hlt
    cmp byte ptr ds:[0x20011], 3
    jne 1b
    vmcall
interrupt:
    mov ecx, 0x80b                      # EOI
    xor eax, eax
    xor edx, edx
    wrmsr
    inc byte ptr ds:[0x20011]
    iretq
second_enters started
    enable_apic
    wait_for 0x20010, 1
    mov ebx, 1
1:  or byte ptr ds:[descriptor + 0x51 / 8], 2
    or byte ptr ds:[descriptor + 32], 1
    mov dword ptr ds:[apic_target], 0
    mov dword ptr ds:[apic_command], 0x40f2
2:  pause
    cmp ds:[0x20011], bl
    jne 2b
    inc ebx
    cmp ebx, 4
    jne 1b
    cli
    hlt
