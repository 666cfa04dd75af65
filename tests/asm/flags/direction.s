# SPDX-License-Identifier: Apache-2.0
#: out df=1
.intel_syntax noprefix
    cld
    std
