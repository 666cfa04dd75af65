// SPDX-License-Identifier: Apache-2.0
// ENCLS[EWB].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> ewb(Cpu& c) { return raise_unimplemented(c, "ENCLS[EWB]"); }

}  // namespace postern::cpu::sgx
