# SPDX-License-Identifier: Apache-2.0
# #UD is benign: #NP with the number of the gate and EXT is served alone.
#: in [0x2065] = 0e
#: fault #NP(0x33)
.intel_syntax noprefix
    ud2
