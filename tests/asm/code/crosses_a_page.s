# SPDX-License-Identifier: Apache-2.0
#: at 0x10ffd
#: out rax=0x8877665544332211
.intel_syntax noprefix
    movabs rax, 0x8877665544332211
