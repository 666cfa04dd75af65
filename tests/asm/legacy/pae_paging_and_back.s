# SPDX-License-Identifier: Apache-2.0
# Paging with PAE, whose second 2-MiB page leads to the first one's memory; off; then paging with
# 4-MiB pages, the second of which does so, too.
#: mode protected32
#: cpl 0
#: in rbx=0 rcx=0
#: in [0x20000] = 5a
#: in [0x60000] = 01 10 06 00 00 00 00 00
#: in [0x61000] = e3 00 00 00 00 00 00 00 e3 00 00 00 00 00 00 00
#: in [0x62000] = e3 00 00 00 e3 00 00 00
#: out rax=? rbx=0x5a rcx=0x5a zf=? sf=? pf=?
.intel_syntax noprefix
.code32
    mov eax, 0x60000
    mov cr3, eax
    mov eax, cr4
    or eax, 0x30                # PSE, PAE
    mov cr4, eax
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    mov bl, [0x220000]
    and eax, 0x7fffffff
    mov cr0, eax
    mov eax, cr4
    and eax, 0xffffffdf
    mov cr4, eax
    mov eax, 0x62000
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    mov cl, [0x420000]
    and eax, 0x7fffffff
    mov cr0, eax
