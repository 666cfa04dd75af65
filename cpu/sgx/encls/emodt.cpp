// SPDX-License-Identifier: Apache-2.0
// ENCLS[EMODT].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> emodt(Cpu& c) { return raise_unimplemented(c, "ENCLS[EMODT]"); }

}  // namespace postern::cpu::sgx
