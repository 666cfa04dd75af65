# SPDX-License-Identifier: Apache-2.0
#: mode real16
#: in rcx=0
#: fault #DE
.intel_syntax noprefix
.code16
    div cx
