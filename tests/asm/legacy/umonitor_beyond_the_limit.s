# SPDX-License-Identifier: Apache-2.0
# The address has the size that the prefix says: 32 bits here.
#: mode protected16
#: in rsi=0x10000
#: fault #GP(0)
.intel_syntax noprefix
.code16
    umonitor esi
