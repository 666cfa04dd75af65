# SPDX-License-Identifier: Apache-2.0
#: in rsi=0x20000 rax=0x1111111111111111
#: in [0x20000] = 34 12
#: out rax=0x1111111111111234 rsi=0x20002
.intel_syntax noprefix
    lodsw
