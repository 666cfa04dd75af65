// SPDX-License-Identifier: Apache-2.0
// ENCLU[EACCEPTCOPY].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> eacceptcopy(Cpu& c) { return raise_unimplemented(c, "ENCLU[EACCEPTCOPY]"); }

}  // namespace postern::cpu::sgx
