// SPDX-License-Identifier: Apache-2.0
// ENCLS[EAUG].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> eaug(Cpu& c) { return raise_unimplemented(c, "ENCLS[EAUG]"); }

}  // namespace postern::cpu::sgx
