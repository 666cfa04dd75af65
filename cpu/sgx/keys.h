// SPDX-License-Identifier: Apache-2.0
// The secrets of this processor. Silicon has them in fuses or draws them at reset; here all follow
// from one number (System::sgx_seed), so that what was sealed can be unsealed by the next run.
#pragma once

#include <array>

#include "base/types.h"
#include "cpu/system.h"

namespace postern::cpu::sgx {

using Key = std::array<u8, 16>;

/// What a root key is for. No two domains share a key.
enum class KeyDomain : u8 { paging, derivation };

Key root_key(const System& system, KeyDomain domain);

}  // namespace postern::cpu::sgx
