# SPDX-License-Identifier: Apache-2.0
#: in rsi=0x5500
#: out rsi=0x55ff cf=1 sf=1 af=1 pf=1
.intel_syntax noprefix
    sub sil, 1
