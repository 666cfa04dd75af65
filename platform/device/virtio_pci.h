// SPDX-License-Identifier: Apache-2.0
// A virtio device over PCI: its capabilities, its registers in one memory BAR, split virtqueues,
// INTA. Every ring and buffer is the guest's and may be hostile: a device that meets nonsense
// stops and asks for a reset. Not offered: MSI-X, packed and indirect descriptors, event indices,
// the configuration-space window (VIRTIO_PCI_CAP_PCI_CFG).
#pragma once

#include <array>
#include <vector>

#include "platform/device/dma.h"
#include "platform/device/pci.h"

namespace postern::platform {

/// A stretch of the guest's physical memory.
struct VirtioBuffer {
    u64 address;
    u32 size;
};

/// A chain of descriptors: what the device reads, and what it writes.
struct VirtioRequest {
    u16 head = 0;
    std::vector<VirtioBuffer> readable, writable;
};

class VirtioPci : public PciFunction {
public:
    static constexpr unsigned queues_most = 2;
    static constexpr u16 queue_size_most = 128;

    struct Queue {
        u64 descriptors = 0;
        u64 driver = 0;  // the available ring
        u64 device = 0;  // the used ring
        u16 size = queue_size_most;
        u16 enabled = 0;
        u16 seen = 0;  // available entries taken
        u16 used = 0;  // used entries given back
    };
    struct State {
        PciFunction::State pci;
        u32 device_feature_select = 0;
        u64 driver_features = 0;
        u32 driver_feature_select = 0;
        u16 queue_select = 0;
        u8 status = 0;
        u8 interrupt_status = 0;
        std::array<Queue, queues_most> queues{};
    };
    static_assert(std::has_unique_object_representations_v<State>);

    [[nodiscard]] State state() const;
    void restore(const State& state);
    static bool plausible(const State& state);

    u64 bar_read(unsigned bar, u64 offset, unsigned size) final;
    void bar_write(unsigned bar, u64 offset, unsigned size, u64 value) final;

    // Offsets in BAR 0.
    static constexpr u32 common_offset = 0x0000, interrupt_offset = 0x1000, device_offset = 0x2000,
                         notify_offset = 0x3000, bar_size = 0x4000;

protected:
    /// `type`: of the virtio device; `features` beside VERSION_1.
    VirtioPci(u16 type, u32 class_code, u64 features, unsigned queues, const Dma& dma);

    /// The driver has put requests into the queue; take() them and complete() each.
    virtual void notified(unsigned queue) = 0;
    /// A byte of the device's own configuration.
    [[nodiscard]] virtual u8 device_config(u64 offset) const = 0;

    /// False: there is none, or the ring makes no sense.
    [[nodiscard]] bool take(unsigned queue, VirtioRequest& request);
    /// `written`: bytes of its writable buffers.
    void complete(unsigned queue, u16 head, u32 written);
    /// The guest's rings or requests make no sense: DEVICE_NEEDS_RESET.
    void break_down();
    [[nodiscard]] const Dma& dma() const { return dma_; }

private:
    [[nodiscard]] u64 offered() const;
    [[nodiscard]] u64 common_read(u64 offset, unsigned size) const;
    void common_write(u64 offset, unsigned size, u64 value);
    void write_queue(u64 offset, unsigned size, u64 value);
    void write_status(u8 value);
    void add_capabilities();
    void notify(u64 queue);
    [[nodiscard]] bool gather(const Queue& queue, VirtioRequest& request) const;
    void raise(u8 cause);

    State virtio_;  // its `pci` is unused: PciFunction holds it
    u64 features_;
    unsigned queues_;
    Dma dma_;
};

}  // namespace postern::platform
