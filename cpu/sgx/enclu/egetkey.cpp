// SPDX-License-Identifier: Apache-2.0
// ENCLU[EGETKEY].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> egetkey(Cpu& c) { return raise_unimplemented(c, "ENCLU[EGETKEY]"); }

}  // namespace postern::cpu::sgx
