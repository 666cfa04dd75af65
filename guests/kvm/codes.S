# SPDX-License-Identifier: Apache-2.0
# What our guests run. Each is copied to CODE; it ends with HLT or at the monitor's word. What the
# monitor must see of it, and the registers at its end, are in checks.cpp and interrupts.cpp.
# Between FIRST and LAST nothing is addressed but by constants: guest_NAME to guest_NAME_end.
.intel_syntax noprefix
.section .rodata

.set data,    0x20000    # a page of RAM
.set counter, 0x21000    # counted by handlers
.set device,  0xd0000    # nobody's memory: MMIO
.set ioapic,  0xfec00000
.set apic,    0xfee00000
.set apic_id,      apic + 0x20
.set apic_eoi,     apic + 0xb0
.set apic_svr,     apic + 0xf0
.set apic_icr_low, apic + 0x300
.set apic_icr_high, apic + 0x310
.set apic_timer,   apic + 0x320
.set apic_initial, apic + 0x380
.set apic_divide,  apic + 0x3e0

.macro guest name bits
    .global guest_\name
    .code\bits
guest_\name:
.endm
.macro done name
    .global guest_\name\()_end
guest_\name\()_end:
.endm

# --- HLT --------------------------------------------------------------------------------------

guest halt_real 16
    mov ax, 0x1234
    hlt
    mov bx, 0x5678
    hlt
done halt_real

guest halt_protected 32
    mov eax, 0x12345678
    hlt
    mov ebx, 0x9abcdef0
    hlt
done halt_protected

guest halt_long 64
    movabs rax, 0x123456789abcdef0
    hlt
    movabs rbx, 0x0fedcba987654321
    hlt
done halt_long

# --- Ports ------------------------------------------------------------------------------------

.macro ports
    mov dx, 0x3f8
    mov al, 0x41
    out dx, al
    in al, dx
    mov bl, al
    mov ax, 0x1234
    out 0x80, ax
    mov dx, 0x5658
    in eax, dx
    mov ecx, eax
    mov eax, 0x89abcdef
    out dx, eax
    hlt
.endm

guest ports_real 16
    ports
done ports_real
guest ports_protected 32
    ports
done ports_protected
guest ports_long 64
    ports
done ports_long

# OUTSB of "abcd", INSW of three words, in real mode with DS = ES = 2000H.
guest strings_real 16
    mov ax, 0x2000
    mov ds, ax
    mov es, ax
    mov dword ptr [0], 0x64636261
    xor si, si
    mov di, 0x10
    mov cx, 4
    mov dx, 0x402
    cld
    rep outsb
    mov cx, 3
    mov dx, 0x404
    rep insw
    hlt
done strings_real

.macro strings
    mov edi, data
    mov dword ptr [edi], 0x64636261
    mov esi, edi
    add edi, 0x10
    mov ecx, 4
    mov dx, 0x402
    cld
    rep outsb
    mov ecx, 3
    mov dx, 0x404
    rep insw
    hlt
.endm
guest strings_protected 32
    strings
done strings_protected
guest strings_long 64
    strings
done strings_long

# --- Memory that is a device's ------------------------------------------------------------------

guest mmio_real 16
    mov ax, device >> 4
    mov ds, ax
    mov word ptr [0], 0x1122
    mov eax, [8]
    mov byte ptr [3], 0x7f
    mov bx, [2]
    hlt
done mmio_real

.macro mmio
    mov edi, device
    mov dword ptr [edi], 0x11223344
    mov eax, [edi + 8]
    mov byte ptr [edi + 3], 0x7f
    movzx ebx, word ptr [edi + 2]
    add dword ptr [edi + 0x10], 5
.endm
guest mmio_protected 32
    mmio
    hlt
done mmio_protected
guest mmio_long 64
    mmio
    movabs rcx, 0x8877665544332211
    mov [rdi + 0x20], rcx
    mov rdx, [rdi + 0x28]
    hlt
done mmio_long

# Three bytes to the device, three from it.
.macro mmio_string
    mov edi, data
    mov dword ptr [edi], 0x00333231
    mov esi, edi
    mov edi, device
    mov ecx, 3
    cld
    rep movsb
    mov esi, device + 0x40
    mov edi, data + 0x10
    mov ecx, 3
    rep movsb
    hlt
.endm
guest mmio_string_protected 32
    mmio_string
done mmio_string_protected
guest mmio_string_long 64
    mmio_string
done mmio_string_long

# --- CPUID ------------------------------------------------------------------------------------

.macro store_cpuid to
    mov [edi + \to], eax
    mov [edi + \to + 4], ebx
    mov [edi + \to + 8], ecx
    mov [edi + \to + 12], edx
.endm
.macro ask_cpuid
    mov eax, 0x40000001
    xor ecx, ecx
    cpuid
    store_cpuid 0
    mov eax, 4
    mov ecx, 1
    cpuid
    store_cpuid 0x10
    hlt
.endm
# DS is based at 20000H.
guest cpuid_real 16
    mov ax, data >> 4
    mov ds, ax
    xor edi, edi
    ask_cpuid
done cpuid_real
guest cpuid_protected 32
    mov edi, data
    ask_cpuid
done cpuid_protected
guest cpuid_long 64
    mov edi, data
    ask_cpuid
done cpuid_long

# --- MSRs that the monitor answers --------------------------------------------------------------

# 174H is filtered away, 12345H nobody has. The last RDMSR gets #GP from the monitor.
.macro msrs
    mov ecx, 0x174
    rdmsr
    mov esi, eax
    mov edi, edx
    mov eax, 0x11223344
    mov edx, 0x55667788
    wrmsr
    mov ecx, 0x12345
    rdmsr
    mov ebx, eax
.endm
guest msr_protected 32
    msrs
    hlt
done msr_protected
# The gate of #GP is the monitor's: it comes to `refused` + its place in the code.
guest msr_long 64
    msrs
    mov ecx, 0x12345
    rdmsr
    hlt
    .org guest_msr_long + 0x80
    pop rbp                 # error code
    add qword ptr [rsp], 2  # RDMSR
    mov r8d, 0x0d
    iretq
done msr_long

# --- Interrupts that the monitor injects --------------------------------------------------------

# The handler is at +40H: it tells the monitor.
guest inject_real 16
    out 0x10, al
    sti
    nop
    nop
    inc bx
    hlt
    .org guest_inject_real + 0x40
    inc cx
    out 0x11, al
    iret
done inject_real
guest inject_protected 32
    out 0x10, al
    sti
    nop
    nop
    inc ebx
    hlt
    .org guest_inject_protected + 0x40
    inc ecx
    out 0x11, al
    iret
done inject_protected
guest inject_long 64
    out 0x10, al
    sti
    nop
    nop
    inc ebx
    hlt
    .org guest_inject_long + 0x40
    inc ecx
    out 0x11, al
    iretq
done inject_long

# --- The kernel's interrupt chips ---------------------------------------------------------------

# The PICs are masked: their lines are those of the IOAPIC.
.macro enable_apic
    mov al, 0xff
    out 0x21, al
    out 0xa1, al
    mov edi, apic_svr
    mov dword ptr [rdi], 0x1ff
.endm
.macro end_of_interrupt
    mov esi, apic_eoi
    mov dword ptr [rsi], 0
.endm
# Entry of the pin: its vector and bits, processor 0.
.macro route pin low
    mov edi, ioapic
    mov dword ptr [rdi], 0x11 + 2 * \pin
    mov dword ptr [rdi + 0x10], 0
    mov dword ptr [rdi], 0x10 + 2 * \pin
    mov dword ptr [rdi + 0x10], \low
.endm

# Edge-triggered pin 5: the monitor raises it while the guest is in OUT; HLT is woken.
guest line_edge 64
    enable_apic
    route 5, 0x35
    out 0x10, al
    sti
    hlt
    cli
    mov al, cl
    out 0x12, al
    .org guest_line_edge + 0x80
    inc ecx
    end_of_interrupt
    iretq
done line_edge

# Level-triggered pin 6: it comes again after EOI for as long as the line is up.
guest line_level 64
    enable_apic
    route 6, 0x8036
    out 0x10, al
    sti
    nop
    nop
    cli
    mov al, cl
    out 0x12, al
    .org guest_line_level + 0x80
    inc ecx
    out 0x11, al
    end_of_interrupt
    iretq
done line_level

# A task priority above the interrupt's holds it back until CR8 falls.
guest task_priority 64
    enable_apic
    route 5, 0x35
    mov eax, 4
    mov cr8, rax
    out 0x10, al
    sti
    nop
    nop
    mov edx, ecx
    xor eax, eax
    mov cr8, rax
    nop
    cli
    mov rbp, cr8
    mov al, cl
    out 0x12, al
    .org guest_task_priority + 0x80
    inc ecx
    end_of_interrupt
    iretq
done task_priority

# An interrupt to itself by the ICR, and by the self-IPI register of x2APIC mode.
guest self_ipi 64
    enable_apic
    mov edi, apic_icr_low
    sti
    mov dword ptr [rdi], 0x40035
    nop
    cli
    mov ebx, ecx
    mov ecx, 0x1b
    rdmsr
    or eax, 0xc00
    wrmsr
    mov ecx, 0x83f
    mov eax, 0x36
    xor edx, edx
    mov ebp, 0
    sti
    wrmsr
    nop
    cli
    mov al, bl
    out 0x12, al
    .org guest_self_ipi + 0x80
    inc ecx
    end_of_interrupt
    iretq
    .org guest_self_ipi + 0xc0
    inc ebp
    mov ecx, 0x80b
    xor eax, eax
    xor edx, edx
    wrmsr
    iretq
done self_ipi

# The local APIC's timer, once, and HLT until then.
guest apic_timer 64
    enable_apic
    mov edi, apic_divide
    mov dword ptr [rdi], 0xb
    mov edi, apic_timer
    mov dword ptr [rdi], 0x35
    mov edi, apic_initial
    mov dword ptr [rdi], 1000000
    sti
    hlt
    cli
    mov al, cl
    out 0x12, al
    .org guest_apic_timer + 0x80
    inc ecx
    end_of_interrupt
    iretq
done apic_timer

# Two processors: each waits for the other's interrupt and answers, 100 times.
.set rounds, 100
guest ping 64
    enable_apic
    mov ebx, rounds
    mov edi, apic_icr_high
    mov dword ptr [rdi], 1 << 24
1:  mov edi, apic_icr_low
    mov dword ptr [rdi], 0x36
    sti
    hlt
    cli
    dec ebx
    jnz 1b
    mov al, cl
    out 0x12, al
    .org guest_ping + 0x80
    inc ecx
    end_of_interrupt
    iretq
done ping
guest pong 64
    enable_apic
    mov edi, apic_icr_high
    mov dword ptr [rdi], 0
    out 0x10, al
1:  sti
    hlt
    cli
    jmp 1b
    .org guest_pong + 0x80
    inc dword ptr [counter]
    mov edi, apic_icr_low
    mov dword ptr [rdi], 0x35
    end_of_interrupt
    iretq
done pong

# Start-up: the boot processor sends INIT and SIPI to the other, which begins in real mode.
guest start_up 64
    enable_apic
    mov edi, apic_icr_high
    mov dword ptr [rdi], 1 << 24
    mov edi, apic_icr_low
    mov dword ptr [rdi], 0x4500
    mov dword ptr [rdi], 0x4600 | 0x30000 >> 12
    xor ecx, ecx
1:  cmp dword ptr [counter], 0x600d
    je 2f
    pause
    dec ecx
    jnz 1b
2:  mov eax, [counter]
    out 0x12, al
done start_up
guest started 16
    mov ax, counter >> 4
    mov ds, ax
    mov ax, cs
    mov [4], ax
    mov dword ptr [0], 0x600d
1:  hlt
    jmp 1b
done started

# --- Measured ---------------------------------------------------------------------------------
# From one RDTSC to the next, 64 times, into 64-bit words from `data` on; the last word is OUT to
# port 12H. R10 goes through memory a page at a time. What nothing at all costs is measured, too.

.macro measured name, instruction:vararg
guest measure_\name 64
    mov edi, data
    mov r9d, 64
    mov r10d, touched
1:  rdtsc
    shl rdx, 32
    or rax, rdx
    mov r8, rax
    xor eax, eax
    \instruction
    rdtsc
    shl rdx, 32
    or rax, rdx
    sub rax, r8
    mov [rdi], rax
    add rdi, 8
    add r10, 0x1000
    dec r9d
    jnz 1b
    out 0x12, al
done measure_\name
.endm

.set touched, 0x100000
measured nothing
measured cpuid, cpuid
measured port, in al, 0x80
measured mmio, mov eax, [r11]       # the monitor puts the address there
measured touch, mov [r10], eax

# Whatever takes time away: gaps between one RDTSC and the next, and in RBX what is usual.
guest measure_gaps 64
    mov edi, data
    mov r9d, 64
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov r8, rax
1:  rdtsc
    shl rdx, 32
    or rax, rdx
    mov rcx, rax
    sub rax, r8
    mov r8, rcx
    cmp rax, 100
    ja 2f
    mov rbx, rax
    jmp 1b
2:  mov [rdi], rax
    add rdi, 8
    dec r9d
    jnz 1b
    out 0x12, al
done measure_gaps

.section .note.GNU-stack, "", @progbits
