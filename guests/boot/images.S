// SPDX-License-Identifier: Apache-2.0
// What the kernel carries: the ring-3 program, the enclave, and its SIGSTRUCT and signer.
.data

.balign 4096
.global runtime_image, runtime_image_end
runtime_image: .incbin "runtime.bin"
runtime_image_end:

.balign 4096
.global enclave_image, enclave_image_end
enclave_image: .incbin "enclave.bin"
enclave_image_end:

.balign 4096
.global enclave_sigstruct, enclave_signer
enclave_sigstruct: .incbin "enclave.sigstruct"
.balign 8
enclave_signer: .incbin "enclave.signer"

.section .note.GNU-stack, "", @progbits
