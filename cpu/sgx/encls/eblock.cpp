// SPDX-License-Identifier: Apache-2.0
// ENCLS[EBLOCK].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> eblock(Cpu& c) { return raise_unimplemented(c, "ENCLS[EBLOCK]"); }

}  // namespace postern::cpu::sgx
