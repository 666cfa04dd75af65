// SPDX-License-Identifier: Apache-2.0
// The target description that GDB asks for (qXfer:features:read:target.xml). GDB manual, "Target
// Description Format".
#pragma once

#include <string>

namespace postern::platform {

/// i386:x86-64 with the registers of debug_registers().
const std::string& target_xml();

}  // namespace postern::platform
