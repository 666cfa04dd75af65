// SPDX-License-Identifier: Apache-2.0
// ENCLU[EREPORT].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> ereport(Cpu& c) { return raise_unimplemented(c, "ENCLU[EREPORT]"); }

}  // namespace postern::cpu::sgx
