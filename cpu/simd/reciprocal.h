// SPDX-License-Identifier: Apache-2.0
// What RCPPS and RSQRTPS give. The manual bounds the error only (1.5 * 2^-12, relative), and hosts
// differ; here it is the exact value, rounded to nearest at 12 bits after the leading one
// (docs/model-defined.md). Numbers are bit patterns.
#pragma once

#include "base/types.h"

namespace postern::cpu {

/// 1/x. Denormals count as zeros, results that would be denormal become zeros; no flag of MXCSR
/// plays a part. SDM 2B, "RCPPS".
u32 reciprocal(u32 x);

/// 1/sqrt(x), likewise. SDM 2B, "RSQRTPS".
u32 reciprocal_root(u32 x);

}  // namespace postern::cpu
