# SPDX-License-Identifier: Apache-2.0
# SGDT stores an aligned word and an aligned doubleword.
#: cpl 3
#: in cr0=0x80050033 ac=1
#: fault #AC(0)
.intel_syntax noprefix
    sgdt [0x20004]
