# SPDX-License-Identifier: Apache-2.0
# Interrupts wait for the task priority to fall, then come by priority; one of the class that is
# in service waits for its end.
#: processors 1
#: exit 4
#: [0x20000] = 04 62 61 42 41 10 40
.include "computer.inc"
    gate 0x41, first
    gate 0x42, second
    gate 0x61, third
    gate 0x62, fourth
    load_idt
    enable_apic
    mov edi, 0x20001
    mov dword ptr ds:[apic + 0x80], 0x6f
    sti
    mov dword ptr ds:[apic_command], 0x44041
    mov dword ptr ds:[apic_command], 0x44062
    nop
    cmp byte ptr ds:[0x20000], 0
    jne failed
    mov eax, ds:[apic + 0x230]          # IRR, 60H to 7FH
    cmp eax, 4
    jne failed
    mov dword ptr ds:[apic + 0x80], 0x20
    nop
    cmp byte ptr ds:[0x20000], 4
    jne failed
    mov eax, ds:[apic + 0xa0]           # PPR: nothing is in service
    mov ds:[0x20005], al
    exit ds:[0x20000]
failed:
    exit 0xff
fourth:
    call note
    .byte 0x62
    mov dword ptr ds:[apic_command], 0x44061    # of the same class: after the end of this one
    mov dword ptr ds:[apic_command], 0x44042
    nop
    sti
    nop
    nop
    cli
    mov dword ptr ds:[apic + 0x80], 0x10
    mov dword ptr ds:[apic_eoi], 0
    iretd
first:
    call note
    .byte 0x41
    mov dword ptr ds:[apic_eoi], 0
    iretd
second:
    call note
    .byte 0x42
    mov eax, ds:[apic + 0xa0]
    mov ds:[0x20006], al
    mov dword ptr ds:[apic_eoi], 0
    iretd
third:
    call note
    .byte 0x61
    mov dword ptr ds:[apic_eoi], 0
    iretd
note:
    inc byte ptr ds:[0x20000]
    pop esi
    movsb
    jmp esi
second_enters never
    hlt
