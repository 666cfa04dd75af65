// SPDX-License-Identifier: Apache-2.0
// The three streams of a program in the guest, at ports 0x5f0 to 0x5f7: our own device, for
// `postern exec`. It keeps nothing: what the host has not given yet, the guest asks for again.
#pragma once

#include <span>

#include "platform/bus.h"

namespace postern::platform {

/// The host's side of the streams.
class ProgramStreams {
public:
    static constexpr u32 ended = ~u32{0};

    virtual void output(u8 byte) = 0;
    virtual void error(u8 byte) = 0;
    /// How many bytes of input can be taken now, or `ended`.
    virtual u32 available() = 0;
    virtual u8 take() = 0;

protected:
    ~ProgramStreams() = default;
};

class StdioPort final : public Device {
public:
    static constexpr u16 port = 0x5f0;

    /// `streams` must outlive this.
    explicit StdioPort(ProgramStreams& streams) : streams_{&streams} {}
    [[nodiscard]] std::span<const PortRange> ports() const override { return {&range, 1}; }
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;

private:
    static constexpr PortRange range{port, 8};
    ProgramStreams* streams_;
};

}  // namespace postern::platform
