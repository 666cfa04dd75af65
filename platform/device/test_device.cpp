// SPDX-License-Identifier: Apache-2.0
// Bytes in, bytes out.
#include "platform/device/test_device.h"

#include <algorithm>
#include <cstring>

namespace postern::platform {

namespace {

/// Where a register of 4 bytes has the byte at `offset` from 0xe0; 4 and more: nowhere.
unsigned place_of(unsigned offset) {
    return offset == TestDevice::register_byte_port - TestDevice::register_port ? 0 : offset;
}

}  // namespace

u32 TestDevice::Register::port_read(u16 offset, unsigned size) {
    const unsigned first = place_of(offset);
    return first < 4 ? value >> 8 * first : static_cast<u32>(all_ones(size));
}

void TestDevice::Register::port_write(u16 offset, unsigned size, u32 written) {
    const unsigned first = place_of(offset);
    if (first >= 4) return;
    const u32 mask = static_cast<u32>(all_ones(size)) << 8 * first;
    value = (value & ~mask) | (written << 8 * first & mask);
}

void TestDevice::Wires::port_write(u16 offset, unsigned, u32 value) {
    lines_->set(offset, value != 0);
}

u64 TestDevice::mmio_read(u64 offset, unsigned size) {
    u64 value = 0;
    std::memcpy(&value, &memory_[offset], std::min<u64>(size, memory_size - offset));
    return value;
}

void TestDevice::mmio_write(u64 offset, unsigned size, u64 value) {
    std::memcpy(&memory_[offset], &value, std::min<u64>(size, memory_size - offset));
}

TestDevice::State TestDevice::state() const {
    State state;
    state.value = register_.value;
    state.memory = memory_;
    return state;
}

void TestDevice::restore(const State& state) {
    register_.value = state.value;
    memory_ = state.memory;
}

}  // namespace postern::platform
