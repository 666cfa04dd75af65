// SPDX-License-Identifier: Apache-2.0
// virtio-console: one port, a queue in each direction. What the guest writes goes to a sink at
// once; what arrives waits here until the guest has put up buffers for it. Not offered: the size
// of the terminal, further ports, emergency writes.
#pragma once

#include "platform/device/sink.h"
#include "platform/device/virtio_pci.h"

namespace postern::platform {

class VirtioConsole final : public VirtioPci {
public:
    static constexpr unsigned input_most = 256;

    struct State {
        VirtioPci::State virtio;
        u32 input_first = 0;
        u32 input_count = 0;
        std::array<u8, input_most> input{};
    };
    static_assert(std::has_unique_object_representations_v<State>);

    /// `sink` must outlive this.
    VirtioConsole(Sink& sink, const Dma& dma);

    /// How many bytes receive() takes now.
    [[nodiscard]] unsigned room() const { return input_most - input_count_; }
    /// A byte arrives; lost if there is no room.
    void receive(u8 byte);

    [[nodiscard]] State state() const;
    void restore(const State& state);
    static bool plausible(const State& state);

private:
    void notified(unsigned queue) override;
    [[nodiscard]] u8 device_config(u64 offset) const override;
    void give_input();
    void transmit(const VirtioRequest& request);

    Sink* sink_;
    u32 input_first_ = 0;
    u32 input_count_ = 0;
    std::array<u8, input_most> input_{};
};

}  // namespace postern::platform
