// SPDX-License-Identifier: Apache-2.0
// virtio-blk: a disk image behind one virtqueue. A request is done when the driver notifies, in no
// time. What is on the disk is not part of a snapshot.
#pragma once

#include "platform/device/disk.h"
#include "platform/device/virtio_pci.h"

namespace postern::platform {

class VirtioBlk final : public VirtioPci {
public:
    /// `disk` must outlive this.
    VirtioBlk(const Disk& disk, const Dma& dma);

private:
    void notified(unsigned queue) override;
    [[nodiscard]] u8 device_config(u64 offset) const override;
    void serve(const VirtioRequest& request);

    const Disk* disk_;
};

}  // namespace postern::platform
