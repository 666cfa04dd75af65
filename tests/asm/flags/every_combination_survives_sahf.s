# SPDX-License-Identifier: Apache-2.0
#: in rax=0xc500
#: out rax=0xc700 zf=1 sf=1 pf=1 cf=1
.intel_syntax noprefix
    sahf
    lahf
