# SPDX-License-Identifier: Apache-2.0
#: in [0x2005] = 0e
#: in rcx=0
#: fault #DF(0)
.intel_syntax noprefix
    div ecx
