# SPDX-License-Identifier: Apache-2.0
#: in [0x20ffb] = 01 02 03 04 05 06 07 88 34 12
#: out [0x21ff9] = 01 02 03 04 05 06 07 88 34 92
.intel_syntax noprefix
    fninit
    fld tbyte ptr [0x20ffb]
    fchs
    fstp tbyte ptr [0x21ff9]
