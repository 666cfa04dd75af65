# SPDX-License-Identifier: Apache-2.0
#: in rsi=0x50020
#: fault #PF(0) cr2=0x50020
.intel_syntax noprefix
    umonitor rsi
