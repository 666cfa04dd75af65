// SPDX-License-Identifier: Apache-2.0
// MSI-X of one function: the table of messages, which of them are masked, which are pending. Its
// owner puts the capability into configuration space and sends what comes out.
#pragma once

#include <array>
#include <type_traits>

#include "base/types.h"

namespace postern::platform {

class Msix {
public:
    static constexpr unsigned vectors_most = 4;
    // In a BAR of its own.
    static constexpr u32 table_offset = 0, pending_offset = 0x800, bar_size = 0x1000;

    // The capability: its identifier and size, and bits of its first dword.
    static constexpr u8 capability = 0x11;
    static constexpr unsigned capability_size = 12;
    static constexpr u32 enabled = u32{1} << 31, all_masked = u32{1} << 30;

    struct Entry {
        u64 address = 0;
        u32 data = 0;
        u32 control = masked;
    };
    static constexpr u32 masked = 1;

    struct State {
        std::array<Entry, vectors_most> entries{};
        u64 pending = 0;
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    explicit Msix(unsigned vectors) : vectors_{vectors} {}

    [[nodiscard]] unsigned vectors() const { return vectors_; }
    [[nodiscard]] u64 read(u64 offset, unsigned size) const;
    void write(u64 offset, unsigned size, u64 value);

    /// The vector's message is to go; none of that number: nothing is.
    void request(unsigned vector);
    /// Calls send(address, data) for each message that is pending and not masked, lowest vector
    /// first.
    template <class Send>
    void send_pending(Send send) {
        for (unsigned n = 0; n < vectors_; ++n) {
            const Entry entry = state_.entries[n];
            if ((state_.pending >> n & 1) == 0 || (entry.control & masked) != 0) continue;
            state_.pending &= ~(u64{1} << n);
            send(entry.address, entry.data);
        }
    }

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    State state_;
    unsigned vectors_;
};

}  // namespace postern::platform
