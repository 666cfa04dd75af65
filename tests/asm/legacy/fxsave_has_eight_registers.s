# SPDX-License-Identifier: Apache-2.0
# Outside 64-bit mode the image ends after XMM7: of its 512 bytes the first 288 are written. They
# are filled again, so that whatever else was written shows.
#: mode protected32
#: in rbx=0x20400
#: out rax=0xa5 rcx=0 rdx=0x1f80 rdi=0x20520
.intel_syntax noprefix
.code32
    fxsave [ebx]
    mov edx, [ebx+24]
    mov edi, ebx
    mov ecx, 288
    mov eax, 0xa5
    rep stosb
