# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: fault #DE
.intel_syntax noprefix
.code32
    aam 0
