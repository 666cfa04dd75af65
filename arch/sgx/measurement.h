// SPDX-License-Identifier: Apache-2.0
// The 64-byte blocks that leaves add to MRENCLAVE.
#pragma once

#include <array>
#include <string_view>

#include "arch/sgx/secinfo.h"
#include "base/types.h"

namespace postern {

using MeasurementBlock = std::array<u8, 64>;

/// What one EEXTEND measures: after its own block come the bytes, as 4 more.
inline constexpr u32 eextend_chunk_size = 256;
inline constexpr u32 eextend_block_count = 5;

namespace detail {

constexpr void put(MeasurementBlock& block, size_t offset, u64 value, size_t bytes = 8) {
    for (size_t i = 0; i < bytes; ++i) block[offset + i] = static_cast<u8>(value >> (8 * i));
}

constexpr MeasurementBlock tagged(std::string_view tag) {
    MeasurementBlock block{};
    for (size_t i = 0; i < tag.size(); ++i) block[i] = static_cast<u8>(tag[i]);
    return block;
}

}  // namespace detail

/// SDM 3D, "ECREATE", Operation: the update of MRENCLAVE. The offset of the legacy bitmap is 0
/// without CET.
constexpr MeasurementBlock ecreate_block(u32 ssaframesize, u64 size,
                                         u64 cet_leg_bitmap_offset = 0) {
    MeasurementBlock block = detail::tagged("ECREATE");
    detail::put(block, 8, ssaframesize, 4);
    detail::put(block, 12, size);
    detail::put(block, 20, cet_leg_bitmap_offset);
    return block;
}

/// SDM 3D, "EADD", Operation. `secinfo` as EADD has fixed it up (R, W, X of a TCS are 0); its
/// first 48 bytes are measured.
constexpr MeasurementBlock eadd_block(u64 page_offset, const Secinfo& secinfo) {
    MeasurementBlock block = detail::tagged("EADD");
    detail::put(block, 8, page_offset);
    detail::put(block, 16, secinfo.flags.to_raw());
    for (size_t i = 0; i < 40; ++i) block[24 + i] = secinfo.reserved_8[i];
    return block;
}

/// SDM 3D, "EEXTEND", Operation. The chunk's offset from the enclave's base.
constexpr MeasurementBlock eextend_block(u64 chunk_offset) {
    MeasurementBlock block = detail::tagged("EEXTEND");
    detail::put(block, 8, chunk_offset);
    return block;
}

}  // namespace postern
