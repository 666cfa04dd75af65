# SPDX-License-Identifier: Apache-2.0
# A processor moves its local APIC's registers; the other sees its own where they were. SDM 3A,
# "Relocating the Local APIC Registers".
#: processors 2
#: exit 3
#: [0x20000] = 03 01 01 01
.include "computer.inc"
.set moved, 0x50000000
    mov esi, ds:[apic + 0x30]
    start_second
    wait_for 0x20000, 1
    mov ecx, 0x1b
    rdmsr
    mov eax, moved + 0x900      # enabled, the first processor
    wrmsr
    cmp ds:[moved + 0x30], esi
    sete ds:[0x20001]
    mov eax, ds:[apic + 0x30]
    cmp eax, -1
    sete ds:[0x20002]
    mov dword ptr ds:[moved + 0x80], 0x20
    mov byte ptr ds:[0x20000], 2
    wait_for 0x20000, 3
    mov ecx, 0x1b
    mov eax, apic + 0x900
    wrmsr
    cmp dword ptr ds:[apic + 0x80], 0x20
    sete ds:[0x20003]
    exit 3
second_enters started
    mov byte ptr ds:[0x20000], 1
    wait_for 0x20000, 2
    mov eax, ds:[apic_id]
    cmp eax, 0x1000000
    jne 1f
    mov byte ptr ds:[0x20000], 3
1:  jmp 1b
