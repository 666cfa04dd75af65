# SPDX-License-Identifier: Apache-2.0
#: fault #GP(0)
.intel_syntax noprefix
    cmpxchg16b xmmword ptr [0x20028]
