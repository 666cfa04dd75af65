# SPDX-License-Identifier: Apache-2.0
#: mode protected32
#: in rax=1
#: out rax=2
.intel_syntax noprefix
.code32
    into
    lea eax, [eax+1]
