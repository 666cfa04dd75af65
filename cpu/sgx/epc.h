// SPDX-License-Identifier: Apache-2.0
// The enclave page cache: its pages, what the EPCM knows of each, and what a SECS holds beyond
// the manual's layout. The platform owns the pages' memory; who may reach a page is access.cpp.
#pragma once

#include <type_traits>
#include <vector>

#include "arch/sgx/epcm.h"
#include "arch/sgx/secs.h"
#include "arch/sgx/tcs.h"
#include "base/address.h"
#include "base/types.h"
#include "cpu/sgx/conflict.h"
#include "cpu/sgx/interruption.h"
#include "cpu/sgx/measure.h"
#include "cpu/sgx/tracking.h"

namespace postern::cpu {

/// Lies in the SECS's last reserved area, whose use is the processor's affair. No access reaches
/// it: ECREATE wants the area zero, and no leaf shows a SECS.
struct SecsHidden {
    u64 enclave_id;
    u64 enclave_context;
    u64 children;  // EPC pages that belong to the enclave
    u64 virtual_children;
    u64 active_threads;  // logical processors inside
    sgx::Tracking tracking;
    sgx::Measurement measurement;
    std::array<u8, 16> isvfamilyid;
    std::array<u8, 16> isvextprodid;
};
static_assert(std::is_trivially_copyable_v<SecsHidden> && std::is_standard_layout_v<SecsHidden>);

inline constexpr u64 secs_hidden_offset = 512;
static_assert(secs_hidden_offset >= offsetof(Secs, reserved_262));
static_assert(secs_hidden_offset + sizeof(SecsHidden) <= page_size);

struct Epc {
    /// `memory`: `size` bytes, zero, aligned to a page, owned by the caller and outliving this.
    /// Both numbers are multiples of a page.
    Epc(u64 base, u8* memory, u64 size);

    u64 base;  // physical
    u64 size;
    u64 next_enclave_id = 1;
    u64 next_page_version = 1;  // EWB's; 0 is an empty slot
    sgx::Conflicts conflicts;
    sgx::Interruptions interruptions;
    u8* bytes;
    std::vector<EpcmEntry> entries;  // one for each page

    [[nodiscard]] bool contains(Hpa address) const { return address.raw() - base < size; }
    /// From the EPC's first byte. Meaningful only when contained.
    [[nodiscard]] u64 offset_of(Hpa address) const { return address.raw() - base; }
    [[nodiscard]] Hpa address_of(u64 offset) const { return Hpa{base + offset}; }

    /// A structure at a byte offset within the EPC. Const as a pointer is: the pages are not.
    template <class T>
    [[nodiscard]] T& at(u64 offset) const {
        return *reinterpret_cast<T*>(bytes + offset);
    }
    [[nodiscard]] u8* page(u64 index) const { return bytes + index * page_size; }
    [[nodiscard]] Secs& secs(u64 index) const { return at<Secs>(index * page_size); }
    [[nodiscard]] SecsHidden& hidden(u64 index) const {
        return at<SecsHidden>(index * page_size + secs_hidden_offset);
    }
    [[nodiscard]] Tcs& tcs(u64 index) const { return at<Tcs>(index * page_size); }
};

}  // namespace postern::cpu
