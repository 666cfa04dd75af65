# SPDX-License-Identifier: Apache-2.0
#: out r15=0x8877665544332211
.intel_syntax noprefix
    movabs r15, 0x8877665544332211
