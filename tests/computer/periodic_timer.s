# SPDX-License-Identifier: Apache-2.0
# A periodic timer wakes five times, its count falls in between; then one shot, and the deadline of
# the TSC.
#: processors 1
#: exit 7
#: [0x20000] = 07 01 01
.include "computer.inc"
    gate 0x40, interrupt
    load_idt
    enable_apic
    mov dword ptr ds:[apic + 0x3e0], 3          # by 16
    mov dword ptr ds:[apic + 0x320], 0x20040
    mov dword ptr ds:[apic + 0x380], 1000
    mov eax, ds:[apic + 0x390]
    dec eax
    cmp eax, 1000
    setb ds:[0x20001]
1:  sti
    hlt
    cli
    cmp byte ptr ds:[0x20000], 5
    jne 1b
    mov dword ptr ds:[apic + 0x380], 0
    mov dword ptr ds:[apic + 0x320], 0x40
    mov dword ptr ds:[apic + 0x380], 100
    sti
    hlt
    cli
    cmp dword ptr ds:[apic + 0x390], 0
    sete ds:[0x20002]
    mov dword ptr ds:[apic + 0x320], 0x40040
    rdtsc
    add eax, 20000
    adc edx, 0
    mov ecx, 0x6e0
    wrmsr
    sti
    hlt
    exit ds:[0x20000]
interrupt:
    inc byte ptr ds:[0x20000]
    mov dword ptr ds:[apic_eoi], 0
    iretd
second_enters never
    hlt
