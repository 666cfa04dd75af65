// SPDX-License-Identifier: Apache-2.0
// mmap and munmap.
#include "platform/host_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace postern::platform {

Expected<HostMemory> HostMemory::map(u64 size) {
    void* const data = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED)
        return error(fmt::format("the host gives no {} bytes ({})", size, std::strerror(errno)),
                     "--memory", "a smaller size");
    HostMemory memory;
    memory.data_ = static_cast<u8*>(data);
    memory.size_ = size;
    return memory;
}

HostMemory::HostMemory(HostMemory&& other) noexcept
    : data_{std::exchange(other.data_, nullptr)}, size_{std::exchange(other.size_, 0)} {}

HostMemory& HostMemory::operator=(HostMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

HostMemory::~HostMemory() {
    if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace postern::platform
