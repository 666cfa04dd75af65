// SPDX-License-Identifier: Apache-2.0
// Chains of descriptors in a split virtqueue, as a device takes them apart. All of it is the
// guest's and may be hostile.
#pragma once

#include <vector>

#include "platform/device/dma.h"

namespace postern::platform {

/// A stretch of the guest's physical memory, all of it RAM.
struct VirtioBuffer {
    u64 address;
    u32 size;
};

/// A chain of descriptors: what the device reads, and what it writes.
struct VirtioRequest {
    u16 head = 0;
    std::vector<VirtioBuffer> readable, writable;
};

/// A queue's table of descriptors.
struct VirtioDescriptors {
    static constexpr unsigned size = 16;
    static constexpr u16 count_most = 128;

    u64 address = 0;
    u16 count = 0;          // count_most at most
    bool indirect = false;  // the driver may refer to further tables
};

/// The chain that begins at `request.head`. False: it loops, leaves its table or RAM, or is none
/// that a driver may make.
[[nodiscard]] bool gather_chain(const Dma& dma, const VirtioDescriptors& descriptors,
                                VirtioRequest& request);

/// The buffers of a request as one run of bytes: drivers may cut it anywhere.
class VirtioStream {
public:
    explicit VirtioStream(const std::vector<VirtioBuffer>& buffers) : buffers_{buffers} {
        for (const VirtioBuffer& b : buffers) left_ += b.size;
    }
    [[nodiscard]] u64 left() const { return left_; }
    /// The next bytes that lie together, `most` at most; some must be left.
    VirtioBuffer next(u64 most);

private:
    const std::vector<VirtioBuffer>& buffers_;
    size_t index_ = 0;
    u32 at_ = 0;
    u64 left_ = 0;
};

}  // namespace postern::platform
