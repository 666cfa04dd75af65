# SPDX-License-Identifier: Apache-2.0
#: mode compat32
#: in rbx=3
#: in [0x20000] = 10 00
#: out zf=1
#: out [0x20000] = 13
.intel_syntax noprefix
.code32
    arpl [0x20000], bx
