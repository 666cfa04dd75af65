// SPDX-License-Identifier: Apache-2.0
// ENCLU[EDECCSSA].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> edeccssa(Cpu& c) { return raise_unimplemented(c, "ENCLU[EDECCSSA]"); }

}  // namespace postern::cpu::sgx
