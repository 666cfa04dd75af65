// SPDX-License-Identifier: Apache-2.0
// A virtio device over PCI: its capabilities, its registers in one memory BAR, split virtqueues
// with indirect descriptors, MSI-X in another BAR, or INTA. Every ring and buffer is the guest's
// and may be hostile: a device that meets nonsense, rings or buffers outside of RAM included,
// stops and asks for a reset. Not offered: packed virtqueues, event indices, the
// configuration-space window (VIRTIO_PCI_CAP_PCI_CFG).
#pragma once

#include <array>

#include "platform/device/dma.h"
#include "platform/device/msix.h"
#include "platform/device/pci.h"
#include "platform/device/virtio_chain.h"

namespace postern::platform {

class VirtioPci : public PciFunction {
public:
    static constexpr unsigned queues_most = 2;
    static constexpr u16 queue_size_most = VirtioDescriptors::count_most;
    static constexpr u16 no_vector = 0xffff;

    struct Queue {
        u64 descriptors = 0;
        u64 driver = 0;  // the available ring
        u64 device = 0;  // the used ring
        u16 size = queue_size_most;
        u16 enabled = 0;
        u16 seen = 0;  // available entries taken
        u16 used = 0;  // used entries given back
        u16 vector = no_vector;
        std::array<u16, 3> unused{};
    };
    struct State {
        Msix::State msix;
        PciFunction::State pci;
        u32 device_feature_select = 0;
        u64 driver_features = 0;
        u32 driver_feature_select = 0;
        u16 queue_select = 0;
        u8 status = 0;
        u8 interrupt_status = 0;
        u16 configuration_vector = no_vector;
        std::array<u16, 3> unused{};
        std::array<Queue, queues_most> queues{};
    };
    static_assert(std::has_unique_object_representations_v<State>);

    [[nodiscard]] State state() const;
    void restore(const State& state);
    static bool plausible(const State& state);

    u64 bar_read(unsigned bar, u64 offset, unsigned size) final;
    void bar_write(unsigned bar, u64 offset, unsigned size, u64 value) final;

    static constexpr unsigned msix_bar = 1;
    // Offsets in BAR 0.
    static constexpr u32 common_offset = 0x0000, interrupt_offset = 0x1000, device_offset = 0x2000,
                         notify_offset = 0x3000, bar_size = 0x4000;

protected:
    /// `type`: of the virtio device; `features` beside VERSION_1.
    VirtioPci(u16 type, const char* name, u32 class_code, u64 features, unsigned queues,
              const Dma& dma);

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
    /// The driver is ready and has set up the queue.
    [[nodiscard]] bool serves(unsigned queue) const;

private:
    [[nodiscard]] u64 offered() const;
    [[nodiscard]] u64 common_read(u64 offset, unsigned size) const;
    void common_write(u64 offset, unsigned size, u64 value);
    void write_queue(u64 offset, unsigned size, u64 value);
    void write_status(u8 value);
    void set_vector(u16& to, u64 value) const;
    void add_capabilities();
    void notify(u64 queue);
    [[nodiscard]] bool rings_in_memory(const Queue& queue) const;
    void raise(u8 cause, u16 vector);
    void config_written(unsigned offset) final;
    [[nodiscard]] u32 msix_control() const;
    [[nodiscard]] bool is_bus_master() const;
    void send_messages();

    State virtio_;  // its `pci` and `msix` are unused: PciFunction and msix_ hold them
    Msix msix_;
    u64 features_;
    unsigned queues_;
    Dma dma_;
};

}  // namespace postern::platform
