// SPDX-License-Identifier: Apache-2.0
// One enclave, signed for two plans.
#include "guests/sgx/enclave.h"

extern "C" const sgx::u8 enclave_image[], enclave_image_end[];
extern "C" const sgx::u8 small_sigstruct[], large_sigstruct[];

namespace sgx {

Files files_of(const layout::Plan& plan) {
    return {.image = enclave_image,
            .image_size = static_cast<u64>(enclave_image_end - enclave_image),
            .sigstruct = &plan == &layout::large ? large_sigstruct : small_sigstruct,
            .base = 0};
}

}  // namespace sgx
