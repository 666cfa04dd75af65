// SPDX-License-Identifier: Apache-2.0
// Making an empty EPC.
#include "cpu/sgx/epc.h"

namespace postern::cpu {

Epc::Epc(u64 base_address, u8* memory, u64 byte_count)
    : base{base_address}, size{byte_count}, bytes{memory}, entries(byte_count / page_size) {}

}  // namespace postern::cpu
