# SPDX-License-Identifier: Apache-2.0
#: in rax=1 cf=1 of=1
#: in [0x20000] = 05 00 00 00 00 00 00 00
#: out rax=7 of=0
.intel_syntax noprefix
    adox rax, [0x20000]
