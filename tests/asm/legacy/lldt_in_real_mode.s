# SPDX-License-Identifier: Apache-2.0
#: mode real16
#: fault #UD
.intel_syntax noprefix
.code16
    lldt ax
