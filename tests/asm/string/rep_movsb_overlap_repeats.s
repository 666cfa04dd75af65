# SPDX-License-Identifier: Apache-2.0
#: in rcx=6 rsi=0x20000 rdi=0x20002
#: in [0x20000] = 01 02
#: out [0x20002] = 01 02 01 02 01 02
#: out rcx=0 rsi=0x20006 rdi=0x20008
.intel_syntax noprefix
    rep movsb
