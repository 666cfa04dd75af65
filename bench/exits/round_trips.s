# SPDX-License-Identifier: Apache-2.0
# VM exits and entries, one after the other: a guest that executes one instruction which exits
# again and again, and a host that reads the reason, goes past the instruction and resumes. EPT and
# VPID are on. What exits is chosen by --defsym: exit_by_cpuid, exit_by_hlt, exit_by_pio or
# exit_by_ept. Ends with 5 after ROUND_TRIPS.
.set ept, 0x40000
.set hole, 0x40000000           # the second GiB: the guest's tables map it, EPT does not
.include "computer.inc"
.include "vmx.inc"
# The instruction, and its basic exit reason.
.ifdef exit_by_cpuid
    .set WANTED, 10
    .macro exiting
    cpuid
    .endm
.endif
.ifdef exit_by_hlt
    .set WANTED, 12
    .macro exiting
    hlt
    .endm
.endif
.ifdef exit_by_pio
    .set WANTED, 30
    .macro exiting
    out 0x80, al
    .endm
.endif
.ifdef exit_by_ept
    .set WANTED, 48
    .macro exiting
    mov eax, [rdi]
    .endm
.endif
    mov dword ptr ds:[vmx_pdpt + 8], hole + 0x83
    enter_vmx
    mov dword ptr ds:[ept], ept + 0x1007
    mov dword ptr ds:[ept + 0x1000], 0xb7       # 1 GiB, write-back, all permissions
    control 0x4002, 0x48e, 0x81000080   # HLT and unconditional I/O exiting, secondary controls
    control 0x401e, 0x48b, 0x22         # EPT, VPID
    field 0x201a, ept + 0x1e            # write-back, 4 levels
    field 0, 1                          # VPID
    mov r12d, ROUND_TRIPS
    mov r13d, WANTED
    mov r14d, offset guest_next
    mov edi, hole
    vmlaunch
    exit 98

host:
    get_field 0x4402
    cmp eax, r13d
    jne 1f
    dec r12d
    jz 2f
    mov eax, 0x681e
    vmwrite rax, r14
    vmresume
    exit 97
1:  exit 96
2:  vmxoff
    exit 5

guest:
    exiting
guest_next:
    jmp guest
