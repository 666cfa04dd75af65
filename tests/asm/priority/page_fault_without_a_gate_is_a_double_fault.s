# SPDX-License-Identifier: Apache-2.0
# The gate of #PF is not present: #NP upon #PF.
#: in [0x20e5] = 0e
#: fault #DF(0)
.intel_syntax noprefix
    mov eax, [0x50000]
