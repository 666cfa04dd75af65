// SPDX-License-Identifier: Apache-2.0
// The enclaves' pages: where they lie, what each holds, in which order they are added. The
// kernel builds an enclave from its plan and the signing tool measures it from the same, so the
// two cannot disagree.
#pragma once

#include "base/types.h"

namespace postern::guests::layout {

inline constexpr u64 page = 4096;
inline constexpr u64 base = 0x1000'0000'0000;
inline constexpr u64 size = 0x40000;

inline constexpr u32 ssa_frame_pages = 1;
inline constexpr u32 ssa_frames = 3;

// SECINFO.FLAGS. SDM 3D, "Security Information (SECINFO)".
inline constexpr u64 readable = 1 << 0;
inline constexpr u64 writable = 1 << 1;
inline constexpr u64 executable = 1 << 2;
inline constexpr u64 page_type_tcs = 1 << 8;
inline constexpr u64 page_type_reg = 2 << 8;

// SECS.ATTRIBUTES; x87 and SSE state only. SDM 3D, "ATTRIBUTES".
inline constexpr u64 attribute_debug = 1 << 1;
inline constexpr u64 attribute_mode64bit = 1 << 2;
inline constexpr u64 xfrm = 3;

// SECS.MISCSELECT: the SSA frame says more of #PF and #GP. SDM 3D, "MISCSELECT".
inline constexpr u32 misc_exinfo = 1 << 0;

enum class Content : u8 { image, pattern, zero, thread };

struct Region {
    u64 offset;
    u64 pages;
    Content content;
    u64 secinfo;
    u64 ssa = 0;  // of a thread: the offset of its first SSA frame
    bool measured = true;
};

// An unused page lies below each stack: an overflow is a page fault, not a wrong digest.
inline constexpr Region code{0x00000, 4, Content::image, page_type_reg | readable | executable};
inline constexpr Region data{0x08000, 1, Content::pattern, page_type_reg | readable | writable};
inline constexpr Region variables{0x09000, 1, Content::zero, page_type_reg | readable | writable};
inline constexpr Region stack{0x0b000, 2, Content::zero, page_type_reg | readable | writable};
inline constexpr Region handler_stack{0x0e000, 1, Content::zero,
                                      page_type_reg | readable | writable};
inline constexpr Region ssa{0x10000, ssa_frames* ssa_frame_pages, Content::zero,
                            page_type_reg | readable | writable};
inline constexpr Region tcs{0x14000, 1, Content::thread, page_type_tcs, ssa.offset};

// A second thread, of an enclave that may be debugged: the kernel makes it the opt-in one.
inline constexpr Region debug_ssa{0x18000, ssa_frames* ssa_frame_pages, Content::zero,
                                  page_type_reg | readable | writable};
inline constexpr Region debug_tcs{0x1c000, 1, Content::thread, page_type_tcs, debug_ssa.offset};

// More than most EPCs of the tests hold, in enclaves for Linux.
inline constexpr Region heap{0x40000, 3072, Content::zero, page_type_reg | readable | writable,
                             0,       false};

/// One enclave: what the SECS says of it, and its pages.
struct Plan {
    const char* name;
    u64 attributes;
    u32 miscselect;
    u32 region_count;
    Region regions[9];
    u64 size = layout::size;

    [[nodiscard]] constexpr u64 page_count() const {
        u64 count = 0;
        for (u32 i = 0; i < region_count; ++i) count += regions[i].pages;
        return count;
    }
};

inline constexpr Plan first_light{"first_light",
                                  attribute_mode64bit,
                                  0,
                                  7,
                                  {code, data, variables, stack, handler_stack, ssa, tcs}};
inline constexpr Plan probe{
    "probe",
    attribute_mode64bit | attribute_debug,
    misc_exinfo,
    9,
    {code, data, variables, stack, handler_stack, ssa, tcs, debug_ssa, debug_tcs}};

// Enclaves for Linux, whose addresses are the program's choice.
inline constexpr Plan small{
    "small", attribute_mode64bit | attribute_debug, 0, 6, {code, data, variables, stack, ssa, tcs}};
inline constexpr Plan large{
    "large", attribute_mode64bit, 0, 6, {code, data, stack, ssa, tcs, heap}, 0x100'0000};

inline constexpr u64 start_of(const Region& region) { return base + region.offset; }
inline constexpr u64 end_of(const Region& region) { return start_of(region) + region.pages * page; }

inline constexpr bool is_outside(u64 address, u64 length) {
    return address + length >= address && (address + length <= base || address >= base + size);
}

/// The byte that stands at `index` of the data page.
inline constexpr u8 pattern_byte(u64 index) { return static_cast<u8>(index * 7 + 3); }

// The fields of a TCS that are not zero. SDM 3D, "Thread Control Structure (TCS)".
inline constexpr u64 tcs_ossa = 16;
inline constexpr u64 tcs_nssa = 28;
inline constexpr u64 tcs_oentry = 32;
inline constexpr u64 tcs_fs_limit = 64;
inline constexpr u64 tcs_gs_limit = 68;

inline constexpr void put(u8* to, u64 value, u64 bytes) {
    for (u64 i = 0; i < bytes; ++i) to[i] = static_cast<u8>(value >> (8 * i));
}

inline constexpr void fill_thread(const Region& thread, u8* to) {
    put(to + tcs_ossa, thread.ssa, 8);
    put(to + tcs_nssa, ssa_frames, 4);
    put(to + tcs_oentry, code.offset, 8);
    put(to + tcs_fs_limit, 0xfff, 4);
    put(to + tcs_gs_limit, 0xfff, 4);
}

/// Writes page `index` of `region` as EADD is to find it. `image` is the linked enclave.
inline constexpr void fill_page(const Region& region, u64 index, const u8* image, u64 image_size,
                                u8* to) {
    const u64 first = index * page;
    for (u64 i = 0; i < page; ++i) {
        const u64 at = first + i;
        to[i] = 0;
        if (region.content == Content::image && at < image_size) to[i] = image[at];
        if (region.content == Content::pattern) to[i] = pattern_byte(at);
    }
    if (region.content == Content::thread) fill_thread(region, to);
}

static_assert((size & (size - 1)) == 0 && base % size == 0);
static_assert(end_of(debug_tcs) <= base + size);
static_assert((large.size & (large.size - 1)) == 0 && end_of(heap) <= base + large.size);

}  // namespace postern::guests::layout
