# SPDX-License-Identifier: Apache-2.0
#: mode compat32
#: fault #UD
.intel_syntax noprefix
.code32
    syscall
