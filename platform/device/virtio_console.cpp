// SPDX-License-Identifier: Apache-2.0
// VIRTIO 1.1, "Console Device".
#include "platform/device/virtio_console.h"

#include <algorithm>

namespace postern::platform {

namespace {

constexpr u16 console_device = 3;
constexpr u32 communication_class = 0x07'80'00;
constexpr unsigned receive_queue = 0, transmit_queue = 1;

}  // namespace

VirtioConsole::VirtioConsole(Sink& sink, const Dma& dma)
    : VirtioPci{console_device, "virtio-console", communication_class, 0, 2, dma}, sink_{&sink} {}

/// Each of its fields belongs to a feature that is not offered.
u8 VirtioConsole::device_config(u64) const { return 0; }

void VirtioConsole::notified(unsigned queue) {
    if (queue == receive_queue) return give_input();
    // A ring that its own requests refill must not keep us here.
    VirtioRequest request;
    for (unsigned n = 0; n < queue_size_most && take(transmit_queue, request); ++n)
        transmit(request);
}

void VirtioConsole::transmit(const VirtioRequest& request) {
    VirtioStream from{request.readable};
    std::array<u8, 4096> bytes;
    while (from.left() != 0) {
        const VirtioBuffer piece = from.next(bytes.size());
        const std::span<u8> part{bytes.data(), piece.size};
        if (!dma().read(piece.address, part)) return break_down();
        for (const u8 byte : part) sink_->put(byte);
    }
    complete(transmit_queue, request.head, 0);
}

void VirtioConsole::receive(u8 byte) {
    if (room() == 0) return;
    input_[(input_first_ + input_count_) % input_most] = byte;
    ++input_count_;
    give_input();
}

/// As much as the guest's buffers take; one buffer is used up by what there is.
void VirtioConsole::give_input() {
    VirtioRequest request;
    while (input_count_ != 0 && serves(receive_queue) && take(receive_queue, request)) {
        VirtioStream to{request.writable};
        u32 written = 0;
        while (to.left() != 0 && input_count_ != 0) {
            const VirtioBuffer piece = to.next(std::min(input_count_, input_most - input_first_));
            if (!dma().write(piece.address, {&input_[input_first_], piece.size}))
                return break_down();
            input_first_ = (input_first_ + piece.size) % input_most;
            input_count_ -= piece.size;
            written += piece.size;
        }
        if (written == 0) return break_down();  // no room in a buffer that is there for it
        complete(receive_queue, request.head, written);
    }
}

VirtioConsole::State VirtioConsole::state() const {
    return {VirtioPci::state(), input_first_, input_count_, input_};
}

void VirtioConsole::restore(const State& state) {
    VirtioPci::restore(state.virtio);
    input_first_ = state.input_first;
    input_count_ = state.input_count;
    input_ = state.input;
}

bool VirtioConsole::plausible(const State& state) {
    return VirtioPci::plausible(state.virtio) && state.input_first < input_most &&
           state.input_count <= input_most;
}

}  // namespace postern::platform
