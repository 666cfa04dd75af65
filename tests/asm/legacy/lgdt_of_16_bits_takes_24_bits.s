# SPDX-License-Identifier: Apache-2.0
# With 16-bit operands the top byte of the base is not loaded.
#: mode real16
#: in [0x20000] = 34 12 78 56 34 ff
#: out [0x20010] = 34 12 78 56 34 00
.intel_syntax noprefix
.code16
    lgdt [0]
    sgdt [0x10]
