// SPDX-License-Identifier: Apache-2.0
// ENCLS[ETRACK].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> etrack(Cpu& c) { return raise_unimplemented(c, "ENCLS[ETRACK]"); }

}  // namespace postern::cpu::sgx
