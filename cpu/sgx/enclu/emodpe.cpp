// SPDX-License-Identifier: Apache-2.0
// ENCLU[EMODPE].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> emodpe(Cpu& c) { return raise_unimplemented(c, "ENCLU[EMODPE]"); }

}  // namespace postern::cpu::sgx
