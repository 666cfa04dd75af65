# SPDX-License-Identifier: Apache-2.0
#: in rax=0x80
#: out rax=0xffffffffffffff80 rdx=0xffffffffffffffff
.intel_syntax noprefix
    cbw
    cwde
    cdqe
    cqo
