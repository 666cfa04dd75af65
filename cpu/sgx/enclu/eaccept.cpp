// SPDX-License-Identifier: Apache-2.0
// ENCLU[EACCEPT].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> eaccept(Cpu& c) { return raise_unimplemented(c, "ENCLU[EACCEPT]"); }

}  // namespace postern::cpu::sgx
