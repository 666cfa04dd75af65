// SPDX-License-Identifier: Apache-2.0
// What a kernel carries: the ring-3 program, the enclave, and its SIGSTRUCT and signer. The build
// defines the names of their files.
.data

.balign 4096
.global runtime_image, runtime_image_end
runtime_image: .incbin RUNTIME_BIN
runtime_image_end:

.balign 4096
.global enclave_image, enclave_image_end
enclave_image: .incbin ENCLAVE_BIN
enclave_image_end:

.balign 4096
.global enclave_sigstruct, enclave_signer
enclave_sigstruct: .incbin ENCLAVE_SIGSTRUCT
.balign 8
enclave_signer: .incbin ENCLAVE_SIGNER

.section .note.GNU-stack, "", @progbits
