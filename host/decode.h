// SPDX-License-Identifier: Apache-2.0
// Decoding for the hypervisor: instructions with a memory operand, as it describes them. What was
// decoded is kept by its bytes: a guest reaches its devices from few places.
#pragma once

#include <array>

#include "hv/port.h"

namespace postern::host {

hv::DecodedAccess decode_access(const u8* bytes, size_t count, hv::CodeSize size);

class DecodeCache {
public:
    hv::DecodedAccess decode(const u8* bytes, size_t count, hv::CodeSize size);

private:
    static constexpr size_t slots = 64;
    struct Slot {
        std::array<u8, 15> bytes{};  // as many as the instruction has
        hv::CodeSize size = hv::CodeSize::bits64;
        hv::DecodedAccess access;
    };
    std::array<Slot, slots> slots_{};
};

}  // namespace postern::host
