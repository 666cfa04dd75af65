// SPDX-License-Identifier: Apache-2.0
// QEMU's firmware configuration device at ports 0x510 and 0x511: what the machine is, as items
// that are selected by number and read byte by byte. Without the DMA interface, and with items
// that cannot be written.
#pragma once

#include <map>
#include <string_view>
#include <type_traits>
#include <vector>

#include "platform/boot/memory_map.h"
#include "platform/bus.h"

namespace postern::platform {

class FwCfg final : public Device {
public:
    static constexpr u16 port = 0x510;

    struct State {
        u32 selected = 0;
        u32 position = 0;  // the next byte's, in the selected item
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);

    FwCfg(const Layout& layout, unsigned processors);

    [[nodiscard]] std::span<const PortRange> ports() const override { return {&range, 1}; }
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

    using Item = std::vector<u8>;
    /// A file of the directory; a name has at most 55 bytes.
    void add_file(std::string_view name, Item content);

private:
    static constexpr PortRange range{port, 2};
    std::map<u16, Item> items_;
    State state_;
};

}  // namespace postern::platform
