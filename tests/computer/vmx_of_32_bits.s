# SPDX-License-Identifier: Apache-2.0
# A hypervisor of 32-bit code without IA-32e mode or EPT, with a 32-bit guest that executes CPUID
# twice: 32-bit operands of VMREAD and VMWRITE, both halves of a 64-bit field, and the host's state
# after a VM exit to a host that is not 64-bit.
#: exit 5
#: [0x20000] = 0a 00 00 00
#: [0x20008] = 02 00 00 00
#: [0x20010] = 0a 00 00 00
#: [0x20018] = 02 00 00 00
#: [0x20020] = 10 20 00 00
#: [0x20028] = 44 33 22 11 88 77 66 55
#: [0x20030] = ff ff
#: [0x20038] = 00 90 03 00 00 00 00 00
.include "computer.inc"
.set directory, 0x30000
.set vmxon_region, 0x38000
.set vmcs_region, 0x39000
.set pointers, 0x3a000

# VMWRITE of a constant, of an address, of EBX.
.macro field encoding, value
    mov eax, \encoding
    mov ebx, \value
    vmwrite eax, ebx
    jbe failed
.endm
.macro field_address encoding, label
    mov eax, \encoding
    mov ebx, offset \label
    vmwrite eax, ebx
    jbe failed
.endm
.macro field_ebx encoding
    mov eax, \encoding
    vmwrite eax, ebx
    jbe failed
.endm

# The bits that must be 1, and no other.
.macro control encoding, msr
    mov ecx, \msr
    rdmsr
    mov ebx, eax
    field_ebx \encoding
.endm

    jmp start
failed:
    exit 99
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
    .align 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x0000890000000067
gdt_end:
start:
    lgdt ds:[gdt_pointer]
    mov dword ptr ds:[directory], 0x83      # 4 MiB
    mov eax, directory
    mov cr3, eax
    mov eax, 0x2010             # VMXE, PSE
    mov cr4, eax
    mov eax, 0x80000031         # PG, NE, ET, PE
    mov cr0, eax
    mov ecx, 0x480              # IA32_VMX_BASIC
    rdmsr
    mov dword ptr ds:[vmxon_region], eax
    mov dword ptr ds:[vmcs_region], eax
    mov dword ptr ds:[pointers], vmxon_region
    mov dword ptr ds:[pointers + 4], 0
    mov dword ptr ds:[pointers + 8], vmcs_region
    mov dword ptr ds:[pointers + 12], 0
    vmxon qword ptr ds:[pointers]
    jbe failed
    vmclear qword ptr ds:[pointers + 8]
    jbe failed
    mov ecx, 1
    vmptrld qword ptr ds:[pointers + ecx * 8]
    jbe failed
    control 0x4000, 0x48d
    control 0x4002, 0x48e
    control 0x400c, 0x48f
    control 0x4012, 0x490
    field 0x4004, 0
    field 0x2800, -1
    field 0x2801, -1
    .irp selector, 0x800, 0x804, 0x806, 0x808, 0x80a, 0xc00, 0xc04, 0xc06, 0xc08, 0xc0a
    field \selector, 0x10
    .endr
    field 0x802, 8
    field 0xc02, 8
    field 0x80c, 0
    field 0x80e, 0x18
    field 0xc0c, 0x18
    .irp limit, 0x4800, 0x4802, 0x4804, 0x4806, 0x4808, 0x480a
    field \limit, 0xffffffff
    .endr
    field 0x480c, 0
    field 0x480e, 0x67
    field 0x4810, 0xff
    field 0x4812, 0xff
    .irp rights, 0x4814, 0x4818, 0x481a, 0x481c, 0x481e
    field \rights, 0xc093
    .endr
    field 0x4816, 0xc09b
    field 0x4820, 0x10000
    field 0x4822, 0x8b
    .irp word, 0x6800, 0x6c00
    mov ebx, cr0
    field_ebx \word
    mov ebx, cr3
    field_ebx \word + 2
    mov ebx, cr4
    field_ebx \word + 4
    .endr
    .irp base, 0x6806, 0x6808, 0x680a, 0x680c, 0x680e, 0x6810, 0x6812, 0x6814, 0x6818
    field \base, 0
    .endr
    .irp base, 0x6c06, 0x6c08, 0x6c0a, 0x6c0e, 0x6c10, 0x6c12
    field \base, 0
    .endr
    field_address 0x6816, gdt
    field_address 0x6c0c, gdt
    field 0x681a, 0x400
    field 0x681c, 0x60000
    field_address 0x681e, guest
    field 0x6820, 2
    .irp zero, 0x4824, 0x4826, 0x482a, 0x4c00, 0x6822, 0x6824, 0x6826
    field \zero, 0
    .endr
    field 0x6c14, 0x70000
    field_address 0x6c16, host
    # The TSC offset, which nothing uses: both halves, one from memory.
    field 0x2010, 0x11223344
    mov dword ptr ds:[pointers + 16], 0x55667788
    mov eax, 0x2011
    vmwrite eax, dword ptr ds:[pointers + 16]
    jbe failed
    xor edi, edi
    mov esi, 7
    vmlaunch
    exit 98
host:
    mov eax, 0x4402             # exit reason
    vmread dword ptr [edi + 0x20000], eax
    jbe failed
    mov eax, 0x440c             # instruction length
    vmread ebx, eax
    jbe failed
    mov dword ptr [edi + 0x20008], ebx
    mov eax, 0x681e
    vmread ecx, eax
    add ebx, ecx
    field_ebx 0x681e
    add edi, 16
    cmp edi, 32
    je 1f
    vmresume
    exit 97
1:  cmp esi, 8
    jne 2f
    cmp esp, 0x70000
    jne 3f
    mov eax, cr4                # as the field: PAE stays clear
    mov dword ptr ds:[0x20020], eax
    mov eax, 0x2010
    vmread dword ptr ds:[0x20028], eax
    mov eax, 0x2011
    vmread dword ptr ds:[0x2002c], eax
    sgdt ds:[0x3a020]
    mov ax, word ptr ds:[0x3a020]
    mov word ptr ds:[0x20030], ax
    vmptrst qword ptr ds:[0x20038]
    jbe failed
    vmxoff
    exit 5
2:  exit 96
3:  exit 95
guest:
    cpuid
    inc esi
    cpuid
    jmp .
