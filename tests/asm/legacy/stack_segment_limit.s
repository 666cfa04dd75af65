# SPDX-License-Identifier: Apache-2.0
#: mode protected16
#: cpl 3
#: in rsp=1
#: fault #SS(0)
.intel_syntax noprefix
.code16
    push ax
