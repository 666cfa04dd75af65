# SPDX-License-Identifier: Apache-2.0
# A guest under EPT whose page comes on demand: a violation, then the store with its dirty flag and
# its entry in the modification log, then a log that is full. Pages: 40000H tables of EPT, 3B000H
# the log, 50000H and 51000H what the guest writes to. The guest's own tables are logged first.
#: exit 5
#: [0x20000] = 30 00 00 00
#: [0x20008] = 82 05 00 00
#: [0x20010] = 10 00 05 00
#: [0x20018] = 10 00 05 00
#: [0x20020] = fd 01 00 00
#: [0x20028] = 3e 00 00 00
#: [0x20030] = 00 00 00 00
#: [0x20038] = fc 01 00 00
#: [0x20040] = 12 00 00 00
#: [0x20048] = ff ff 00 00
#: [0x3b000] = 00 10 05 00 00 00 00 00
#: [0x3bfe8] = 00 00 05 00 00 00 00 00
#: [0x3bff0] = 00 10 03 00 00 00 00 00
#: [0x3bff8] = 00 00 03 00 00 00 00 00
#: [0x50010] = 34 12 00 00
#: [0x51000] = 78 56 00 00
.set ept, 0x40000
.set page_50, ept + 0x3000 + 8 * 0x50
.set page_51, ept + 0x3000 + 8 * 0x51
.include "computer.inc"
.include "vmx.inc"
    enter_vmx
    mov dword ptr ds:[ept], ept + 0x1007
    mov dword ptr ds:[ept + 0x1000], ept + 0x2007
    mov dword ptr ds:[ept + 0x2000], ept + 0x3007
    mov ecx, 0
1:  mov eax, ecx
    shl eax, 12
    or eax, 0x37                # write-back, all permissions
    mov dword ptr ds:[ept + 0x3000 + rcx * 8], eax
    inc ecx
    cmp ecx, 512
    jne 1b
    mov dword ptr ds:[page_50], 0
    control 0x4002, 0x48e, 0x80000000
    control 0x401e, 0x48b, 0x20002      # EPT, page-modification log
    field 0x201a, ept + 0x5e            # write-back, 4 levels, accessed and dirty flags
    field 0x200e, 0x3b000
    field 0x0812, 511
    xor edi, edi
    vmlaunch
    exit 98

host:
    inc edi
    get_field 0x4402
    cmp edi, 1
    je absent_page
    cmp edi, 2
    je between
    cmp edi, 3
    je full_log
    mov dword ptr ds:[0x20040], eax
    get_field 0x0812
    mov dword ptr ds:[0x20048], eax
    cmp dword ptr ds:[page_50], 0x50337 # accessed and dirty
    jne 3f
    cmp dword ptr ds:[page_51], 0x51337
    jne 3f
    vmxoff
    exit 5
3:  exit 96

absent_page:
    mov dword ptr ds:[0x20000], eax
    get_field 0x6400
    mov dword ptr ds:[0x20008], eax
    get_field 0x2400
    mov dword ptr ds:[0x20010], eax
    get_field 0x640a
    mov dword ptr ds:[0x20018], eax
    get_field 0x0812
    mov dword ptr ds:[0x20020], eax
    mov dword ptr ds:[page_50], 0x50037
    vmresume
    exit 97

between:                        # the guest's VMCALL of three bytes
    get_field 0x0812
    mov dword ptr ds:[0x20038], eax
    field 0x0812, 0xffff
    get_field 0x681e
    lea rbx, [rax + 3]
    field_rbx 0x681e
    vmresume
    exit 97

full_log:
    mov dword ptr ds:[0x20028], eax
    get_field 0x6400
    mov dword ptr ds:[0x20030], eax
    cmp dword ptr ds:[0x51000], 0
    jne 3b
    cmp dword ptr ds:[page_51], 0x51037
    jne 3b
    field 0x0812, 0
    vmresume
    exit 97

guest:
    mov dword ptr ds:[0x50010], 0x1234
    vmcall
    mov dword ptr ds:[0x51000], 0x5678
    vmcall
