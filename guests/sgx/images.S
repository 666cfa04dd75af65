// SPDX-License-Identifier: Apache-2.0
// The enclave that the program carries, and its SIGSTRUCTs: one for each plan. The build defines
// the names of their files.
.section .rodata
.global enclave_image, enclave_image_end, small_sigstruct, large_sigstruct

.balign 4096
enclave_image: .incbin ENCLAVE_BIN
enclave_image_end:

.balign 4096
small_sigstruct: .incbin SMALL_SIGSTRUCT
.balign 4096
large_sigstruct: .incbin LARGE_SIGSTRUCT

.section .note.GNU-stack, "", @progbits
