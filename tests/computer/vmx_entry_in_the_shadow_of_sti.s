# SPDX-License-Identifier: Apache-2.0
# VMLAUNCH in root's own shadow of STI, for a guest that is loaded with blocking by STI: an interrupt
# that waits and exits does so after the guest's first instruction. Root's shadow ends at the entry,
# the guest's with that instruction; then the same entry without blocking exits at once.
#: exit 5
#: [0x20000] = 01 00 00 00 01 00 00 00 00 00 00 00
#: [0x20010] = 01 00 00 00 00 00 00 00 00 00 00 00
.include "computer.inc"
.include "vmx.inc"
    enable_apic
    mov dword ptr ds:[apic_command], 0x40044    # to itself
    enter_vmx
    control 0x4000, 0x48d, 1    # external-interrupt exiting
    field 0x6820, 0x202
    field 0x4824, 1             # blocking by STI
    xor edi, edi
    sti
    vmlaunch
    exit 98
host:
    get_field 0x4402            # exit reason
    mov dword ptr ds:[0x20000 + rdi], eax
    get_field 0x681e
    sub eax, offset guest
    mov dword ptr ds:[0x20004 + rdi], eax
    get_field 0x4824
    mov dword ptr ds:[0x20008 + rdi], eax
    add edi, 16
    cmp edi, 32
    je 1f
    field_address 0x681e, guest
    sti
    vmresume
    exit 97
1:  vmxoff
    exit 5
guest:
    nop
    nop
    nop
    jmp .
