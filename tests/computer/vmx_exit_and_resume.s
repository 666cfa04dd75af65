# SPDX-License-Identifier: Apache-2.0
# Software's own VMX operation: a guest that executes CPUID twice and CPUID's exits, as the host
# reads them; the guest's registers stay in the registers.
#: exit 5
#: [0x20000] = 0a 00 00 00
#: [0x20008] = 02 00 00 00
#: [0x20010] = 0a 00 00 00
#: [0x20018] = 12 00 00 00
.include "computer.inc"
.include "vmx.inc"
    enter_vmx
    xor edi, edi
    mov esi, 7
    vmlaunch
    exit 98
host:
    get_field 0x4402            # exit reason
    mov dword ptr ds:[0x20000 + rdi], eax
    get_field 0x440c            # instruction length
    mov dword ptr ds:[0x20008 + rdi], eax
    mov rbx, rax
    get_field 0x681e
    add rbx, rax
    field_rbx 0x681e
    add edi, 16
    cmp edi, 32
    je 1f
    vmresume
    exit 97
1:  cmp esi, 8
    jne 2f
    add byte ptr ds:[0x20018], 0x10
    vmxoff
    exit 5
2:  exit 96
guest:
    cpuid
    inc esi
    cpuid
    jmp .
