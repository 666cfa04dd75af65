// SPDX-License-Identifier: Apache-2.0
// ENCLS[ELDB] and ENCLS[ELDU].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {

Result<> eldb(Cpu& c) { return raise_unimplemented(c, "ENCLS[ELDB]"); }

Result<> eldu(Cpu& c) { return raise_unimplemented(c, "ENCLS[ELDU]"); }

}  // namespace postern::cpu::sgx
