# SPDX-License-Identifier: Apache-2.0
#: in rax=0xffffffff rbx=0 cf=0 of=1 sf=1
#: out rax=0 of=1
.intel_syntax noprefix
    adox eax, ebx
