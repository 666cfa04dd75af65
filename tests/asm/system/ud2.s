# SPDX-License-Identifier: Apache-2.0
#: fault #UD
.intel_syntax noprefix
    ud2
