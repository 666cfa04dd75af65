// SPDX-License-Identifier: Apache-2.0
// ENCLS[EMODPR].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> emodpr(Cpu& c) { return raise_unimplemented(c, "ENCLS[EMODPR]"); }

}  // namespace postern::cpu::sgx
