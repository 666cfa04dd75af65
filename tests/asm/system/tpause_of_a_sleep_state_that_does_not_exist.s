# SPDX-License-Identifier: Apache-2.0
#: in rcx=2
#: fault #GP(0)
.intel_syntax noprefix
    tpause ecx
