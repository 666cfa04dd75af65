# SPDX-License-Identifier: Apache-2.0
#: out [0x3eff8] = fe ff ff ff ff ff ff ff
#: out rsp=0x3eff8
.intel_syntax noprefix
    push -2
