// SPDX-License-Identifier: Apache-2.0
// IA32_EFER.
#pragma once

#include "base/flag_word.h"

namespace postern {

/// SDM 3A, "Extended Feature Enable Register".
enum class Efer : u8 {
    sce = 0,
    lme = 8,
    lma = 10,
    nxe = 11,
};
using EferWord = FlagWord<Efer>;

inline constexpr u64 efer_defined_mask =
    EferWord{Efer::sce, Efer::lme, Efer::lma, Efer::nxe}.to_raw();

}  // namespace postern
