// SPDX-License-Identifier: Apache-2.0
// port NUMBER VALUE: writes a byte to an I/O port. A program of its own because a kernel without
// /dev/port (Debian's cloud flavour) still has ioperm(). Status 0, or 1 for a wrong use and 2 if
// the kernel forbids it.
        .intel_syntax noprefix
        .set sys_exit, 60
        .set sys_ioperm, 173
        .globl _start

        .text
_start:
        mov     edi, 1
        cmp     qword ptr [rsp], 3
        jne     exit
        mov     rsi, [rsp + 16]
        call    number
        mov     r12d, eax
        mov     rsi, [rsp + 24]
        call    number
        mov     r13d, eax

        mov     eax, sys_ioperm
        mov     edi, r12d
        mov     esi, 1
        mov     edx, 1
        syscall
        mov     edi, 2
        test    eax, eax
        jnz     exit
        mov     edx, r12d
        mov     eax, r13d
        out     dx, al
        xor     edi, edi
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

        .section .note.GNU-stack, "", @progbits
