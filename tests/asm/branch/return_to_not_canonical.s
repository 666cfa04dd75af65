# SPDX-License-Identifier: Apache-2.0
#: in [0x3f000] = 00 00 00 00 00 80 00 00
#: fault #GP(0)
.intel_syntax noprefix
    ret
