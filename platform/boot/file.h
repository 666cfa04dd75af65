// SPDX-License-Identifier: Apache-2.0
// Whole files that a user named.
#pragma once

#include <string>
#include <vector>

#include "base/types.h"
#include "platform/error.h"

namespace postern::platform {

/// All bytes of `path`, which may not have more than `most`. `right` says what it should be.
Expected<std::vector<u8>> read_file(const std::string& path, u64 most, const std::string& right);

}  // namespace postern::platform
