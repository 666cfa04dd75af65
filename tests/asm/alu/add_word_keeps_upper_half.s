# SPDX-License-Identifier: Apache-2.0
#: in rdx=0xaaaabbbbccccffff
#: out rdx=0xaaaabbbbcccc0000 cf=1 zf=1 pf=1 af=1
.intel_syntax noprefix
    add dx, 1
