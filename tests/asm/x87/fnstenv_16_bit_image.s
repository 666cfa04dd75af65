# SPDX-License-Identifier: Apache-2.0
#: out [0x20020] = 7f 03 00 38 ff 3f 00 00 00 00 00 00 00 00
.intel_syntax noprefix
    fninit
    fld1
    data16 fnstenv [0x20020]
