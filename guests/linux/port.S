// SPDX-License-Identifier: Apache-2.0
// port NUMBER VALUE writes a byte to an I/O port, port NUMBER - all of standard input: to the debug
// port E9H that is far quicker than the console. A program of its own because a kernel without
// /dev/port (Debian's cloud flavour) still has ioperm(). Status 0, or 1 for a wrong use and 2 if
// the kernel forbids it.
        .intel_syntax noprefix
        .set sys_exit, 60
        .set sys_ioperm, 173
        .set buffer_size, 65536
        .globl _start

        .text
_start:
        mov     edi, 1
        cmp     qword ptr [rsp], 3
        jne     exit
        mov     rsi, [rsp + 16]
        call    number
        mov     r12d, eax
        mov     r13, [rsp + 24]

        mov     eax, sys_ioperm
        mov     edi, r12d
        mov     esi, 1
        mov     edx, 1
        syscall
        mov     edi, 2
        test    eax, eax
        jnz     exit
        cmp     word ptr [r13], 0x2d   # "-"
        je      copy
        mov     rsi, r13
        call    number
        mov     edx, r12d
        out     dx, al
        xor     edi, edi
        jmp     exit

copy:
        xor     eax, eax                # sys_read
        xor     edi, edi
        lea     rsi, [rip + buffer]
        mov     edx, buffer_size
        syscall
        xor     edi, edi
        test    rax, rax
        jle     exit
        mov     rcx, rax
        lea     rsi, [rip + buffer]
        mov     edx, r12d
        rep     outsb
        jmp     copy

exit:
        mov     eax, sys_exit
        syscall
        ud2

// The number at RSI, decimal or hexadecimal after 0x, into RAX. Ends at the first other character.
number:
        xor     eax, eax
        mov     ecx, 10
        cmp     word ptr [rsi], 0x7830
        jne     next
        mov     ecx, 16
        add     rsi, 2
next:
        movzx   edx, byte ptr [rsi]
        inc     rsi
        sub     edx, '0'
        cmp     edx, 10
        jb      digit
        sub     edx, 'a' - '0' - 10
        cmp     edx, 10
        jb      done
        cmp     edx, ecx
        jae     done
digit:
        imul    eax, ecx
        add     eax, edx
        jmp     next
done:
        ret

        .bss
buffer: .skip   buffer_size

        .section .note.GNU-stack, "", @progbits
