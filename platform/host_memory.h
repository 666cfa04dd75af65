// SPDX-License-Identifier: Apache-2.0
// One anonymous mapping of the host's memory: RAM of a machine. Pages cost nothing until touched.
#pragma once

#include "base/types.h"
#include "platform/error.h"

namespace postern::platform {

class HostMemory {
public:
    static Expected<HostMemory> map(u64 size);

    HostMemory() = default;
    HostMemory(HostMemory&& other) noexcept;
    HostMemory& operator=(HostMemory&& other) noexcept;
    HostMemory(const HostMemory&) = delete;
    HostMemory& operator=(const HostMemory&) = delete;
    ~HostMemory();

    [[nodiscard]] u8* data() const { return data_; }
    [[nodiscard]] u64 size() const { return size_; }

private:
    u8* data_ = nullptr;
    u64 size_ = 0;
};

}  // namespace postern::platform
