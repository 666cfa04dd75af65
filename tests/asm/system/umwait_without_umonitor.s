# SPDX-License-Identifier: Apache-2.0
# Nothing is armed: no wait, whatever the deadline.
#: in rax=0xffffffff rdx=0xffffffff rcx=0 cf=1 of=1
#: out cf=0 of=0
#: instructions 1
.intel_syntax noprefix
    umwait ecx
