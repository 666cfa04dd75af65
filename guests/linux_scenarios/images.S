// SPDX-License-Identifier: Apache-2.0
// The enclave that the program carries. The build defines the names of its files.
.section .rodata
.global probe_image, probe_image_end, probe_sigstruct

.balign 4096
probe_image: .incbin ENCLAVE_BIN
probe_image_end:

.balign 4096
probe_sigstruct: .incbin ENCLAVE_SIGSTRUCT

.section .note.GNU-stack, "", @progbits
