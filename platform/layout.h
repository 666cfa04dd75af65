// SPDX-License-Identifier: Apache-2.0
// Where things lie in physical memory: RAM from 0, interrupted below 4 GiB for devices, then the
// enclave page cache. Of a guest, or of the machine beneath one.
#pragma once

#include <vector>

#include "base/address.h"
#include "base/types.h"
#include "platform/error.h"

namespace postern::platform {

inline constexpr u64 kib = u64{1} << 10;
inline constexpr u64 mib = u64{1} << 20;
inline constexpr u64 gib = u64{1} << 30;

inline constexpr u64 low_ram_limit = 3 * gib;
inline constexpr u64 high_ram_base = 4 * gib;
inline constexpr u64 epc_alignment = 2 * mib;

inline constexpr u64 doorbell_base = 0xfe00'0000;
inline constexpr u64 ioapic_base = 0xfec0'0000;
inline constexpr u64 local_apic_base = 0xfee0'0000;

inline constexpr u64 memory_least = 2 * mib;
inline constexpr u64 memory_most = 64 * gib;
inline constexpr u64 epc_least = 64 * kib;
inline constexpr u64 epc_most = 16 * gib;

struct Layout {
    u64 low_size = 0;   // bytes at 0
    u64 high_size = 0;  // bytes at 4 GiB
    u64 epc_base = 0;
    u64 epc_size = 0;  // 0: no EPC

    [[nodiscard]] u64 ram_size() const { return low_size + high_size; }
    /// True if every byte from `base` on is RAM.
    [[nodiscard]] bool is_ram(u64 base, u64 size) const;
    /// The address of byte `offset` of RAM, counted without the hole.
    [[nodiscard]] u64 address_of(u64 offset) const;
    [[nodiscard]] u64 offset_of(u64 address) const;

    friend bool operator==(const Layout&, const Layout&) = default;
};

/// The first address above everything.
u64 end_of(const Layout& layout);

/// The layout of `memory` bytes of RAM and `epc` of EPC, which lies `epc_gap` bytes above where
/// it could begin. Sizes must be multiples of a page and within the limits above.
Layout layout_of(u64 memory, u64 epc, u64 epc_gap = 0);

/// The same, with every limit checked; the errors name the options --memory and --epc.
Expected<Layout> checked_layout(u64 memory, u64 epc);

/// A stretch of one layout's RAM that is contiguous in another's too.
struct Stretch {
    u64 guest;
    u64 machine;
    u64 size;
};

/// How the guest's RAM lies in the machine's, of which the first `reserve` bytes are not the
/// guest's. The machine has at least reserve + guest.ram_size() bytes.
std::vector<Stretch> place_in(const Layout& guest, const Layout& machine, u64 reserve);

}  // namespace postern::platform
