# SPDX-License-Identifier: Apache-2.0
#: in r9=0x10
#: out r9=0xf cf=1 pf=1
.intel_syntax noprefix
    add r9, -1
