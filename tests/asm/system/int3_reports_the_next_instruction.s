# SPDX-License-Identifier: Apache-2.0
#: cpl 0
#: fault #BP at=0x10001
.intel_syntax noprefix
    int3
