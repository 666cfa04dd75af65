// SPDX-License-Identifier: Apache-2.0
// ENCLS[EPA].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> epa(Cpu& c) { return raise_unimplemented(c, "ENCLS[EPA]"); }

}  // namespace postern::cpu::sgx
