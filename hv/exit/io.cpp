// SPDX-License-Identifier: Apache-2.0
// Port I/O of exits outside enclaves.
#include "hv/exit/handlers.h"

namespace postern::hv {
namespace {

constexpr bool is_port_size(unsigned size) { return size == 1 || size == 2 || size == 4; }
constexpr u64 mask_of(unsigned size) { return size == 4 ? 0xffff'ffff : (u64{1} << 8 * size) - 1; }

Next in(NormalExit& exit, const IoQualification& io) {
    u32 value = 0;
    if (!exit.devices().port_read(io.port(), io.size(), value)) value = 0xffff'ffff;
    const u64 mask = mask_of(io.size());
    // A 32-bit result clears the upper half of RAX.
    const u64 kept = io.size() == 4 ? 0 : exit.read(rax) & ~mask;
    exit.write(rax, kept | (value & mask));
    ++exit.counters().emulated_io;
    return exit.done();
}

Next out(NormalExit& exit, const IoQualification& io) {
    const auto value = static_cast<u32>(exit.read(rax) & mask_of(io.size()));
    exit.devices().port_write(io.port(), io.size(), value);
    ++exit.counters().emulated_io;
    return exit.done();
}

}  // namespace

/// SDM 3C, "Exit Qualification", table for I/O instructions.
Next on_io(NormalExit& exit) {
    const auto io = IoQualification::from_raw(exit.qualification());
    if (!is_port_size(io.size())) return exit.not_implemented("port I/O of this size");
    if (io.is_string()) return exit.string_io();
    return io.is_in() ? in(exit, io) : out(exit, io);
}

}  // namespace postern::hv
