# SPDX-License-Identifier: Apache-2.0
#: in rbp=0x123456789 cf=1
#: out rbp=0 cf=0 zf=1 pf=1 af=?
.intel_syntax noprefix
    xor ebp, ebp
