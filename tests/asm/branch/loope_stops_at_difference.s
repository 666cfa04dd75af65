# SPDX-License-Identifier: Apache-2.0
#: in rcx=5 zf=0
#: out rcx=4
.intel_syntax noprefix
1:  loope 1b
