// SPDX-License-Identifier: Apache-2.0
// Segment registers with their hidden parts, descriptors, IDT gates and the 64-bit TSS.
// Access rights are kept in the VMCS's format everywhere.
#pragma once

#include "base/bits.h"
#include "base/types.h"

namespace postern {

/// In the order of the VMCS's guest fields. Unscoped: these are array indices.
enum SegmentIndex : u8 { es, cs, ss, ds, fs, gs, ldtr, tr };

inline constexpr unsigned segment_count = 8;

/// A segment register. SDM 3C, "Guest Register State", table "Format of Access Rights".
struct Segment {
    u16 selector;
    u16 reserved;
    u32 access_rights;
    u32 limit;
    u32 reserved2;
    u64 base;

    [[nodiscard]] constexpr unsigned type() const { return access_rights & 0xf; }
    [[nodiscard]] constexpr bool is_code_or_data() const { return bit<4>(access_rights); }
    [[nodiscard]] constexpr bool is_code() const { return (access_rights & 0x18) == 0x18; }
    [[nodiscard]] constexpr bool is_data() const { return (access_rights & 0x18) == 0x10; }
    /// Of a code segment.
    [[nodiscard]] constexpr bool conforming() const { return bit<2>(access_rights); }
    [[nodiscard]] constexpr bool readable() const { return is_data() || bit<1>(access_rights); }
    /// Of a data segment.
    [[nodiscard]] constexpr bool writable() const { return is_data() && bit<1>(access_rights); }
    [[nodiscard]] constexpr bool expand_down() const { return is_data() && bit<2>(access_rights); }
    [[nodiscard]] constexpr unsigned dpl() const { return access_rights >> 5 & 3; }
    [[nodiscard]] constexpr bool present() const { return bit<7>(access_rights); }
    [[nodiscard]] constexpr bool avl() const { return bit<12>(access_rights); }
    [[nodiscard]] constexpr bool is_long() const { return bit<13>(access_rights); }
    [[nodiscard]] constexpr bool db() const { return bit<14>(access_rights); }
    [[nodiscard]] constexpr bool granularity() const { return bit<15>(access_rights); }
    [[nodiscard]] constexpr bool unusable() const { return bit<16>(access_rights); }
    [[nodiscard]] constexpr unsigned rpl() const { return selector & 3; }

    friend constexpr bool operator==(const Segment&, const Segment&) = default;
};
static_assert(sizeof(Segment) == 24);
static_assert(offsetof(Segment, selector) == 0 && offsetof(Segment, access_rights) == 4);
static_assert(offsetof(Segment, limit) == 8 && offsetof(Segment, base) == 16);

inline constexpr u32 access_rights_accessed = 1u << 0;
inline constexpr u32 access_rights_busy_tss = 1u << 1;
inline constexpr u32 access_rights_present = 1u << 7;
inline constexpr u32 access_rights_unusable = 1u << 16;
/// Bits 11:8 and 31:17 must be 0 in a usable segment's access rights.
inline constexpr u32 access_rights_reserved = 0xfffe'0f00;

/// Types of system segments and gates. IA-32e mode has none of 16 bits and no task gate. SDM 3A,
/// table "System-Segment and Gate-Descriptor Types".
enum class SystemType : u8 {
    tss16_available = 1,
    ldt = 2,
    tss16_busy = 3,
    call_gate16 = 4,
    task_gate = 5,
    interrupt_gate16 = 6,
    trap_gate16 = 7,
    tss_available = 9,
    tss_busy = 11,
    call_gate = 12,
    interrupt_gate = 14,
    trap_gate = 15,
};

/// The null selectors are 0 to 3.
constexpr bool is_null_selector(u16 selector) { return (selector & 0xfffc) == 0; }
constexpr bool selects_ldt(u16 selector) { return bit<2>(selector); }
/// Byte offset of the descriptor in its table.
constexpr u32 selector_offset(u16 selector) { return selector & 0xfff8u; }

/// The access rights of an 8-byte descriptor, or of a system descriptor's low half.
constexpr u32 descriptor_access_rights(u64 descriptor) {
    return static_cast<u32>(descriptor >> 40 & 0xf0ff);
}

/// The limit in bytes, scaled by the granularity bit.
constexpr u32 descriptor_limit(u64 descriptor) {
    const auto limit = static_cast<u32>(bits<15, 0>(descriptor) | bits<51, 48>(descriptor) << 16);
    return bit<55>(descriptor) ? limit << 12 | 0xfff : limit;
}

constexpr u32 descriptor_base(u64 descriptor) {
    return static_cast<u32>(bits<39, 16>(descriptor) | bits<63, 56>(descriptor) << 24);
}

/// What loading `selector` puts into the register. SDM 3A, "Segment Descriptors".
constexpr Segment segment_from_descriptor(u16 selector, u64 descriptor) {
    return {selector,
            0,
            descriptor_access_rights(descriptor),
            descriptor_limit(descriptor),
            0,
            descriptor_base(descriptor)};
}

/// The same for the 16-byte LDT and TSS descriptors of 64-bit mode.
constexpr Segment segment_from_system_descriptor(u16 selector, u64 low, u64 high) {
    Segment segment = segment_from_descriptor(selector, low);
    segment.base |= high << 32;
    return segment;
}

/// The inverse. The low 32 bits of the base and the low 16 access-rights bits are used.
constexpr u64 descriptor_from_segment(const Segment& segment) {
    const u64 limit = segment.granularity() ? segment.limit >> 12 : segment.limit;
    return bits<15, 0>(limit) | bits<23, 0>(segment.base) << 16 |
           u64{segment.access_rights & 0xf0ff} << 40 | bits<19, 16>(limit) << 48 |
           bits<31, 24>(segment.base) << 56;
}

constexpr u64 system_descriptor_high(const Segment& segment) { return segment.base >> 32; }

/// A 64-bit IDT gate. SDM 3A, "64-Bit Mode IDT".
struct IdtGate {
    u64 offset;
    u16 selector;
    u8 ist;
    u8 type;
    u8 dpl;
    bool present;

    [[nodiscard]] constexpr bool is_interrupt_gate() const {
        return type == static_cast<u8>(SystemType::interrupt_gate);
    }
    [[nodiscard]] constexpr bool is_trap_gate() const {
        return type == static_cast<u8>(SystemType::trap_gate);
    }
    friend constexpr bool operator==(const IdtGate&, const IdtGate&) = default;
};

inline constexpr u32 idt_gate_size = 16;

/// `type` is all of bits 44:40: the S bit (must be 0) with the type.
constexpr IdtGate idt_gate(u64 low, u64 high) {
    return {bits<15, 0>(low) | bits<63, 48>(low) << 16 | bits<31, 0>(high) << 32,
            static_cast<u16>(bits<31, 16>(low)),
            static_cast<u8>(bits<34, 32>(low)),
            static_cast<u8>(bits<44, 40>(low)),
            static_cast<u8>(bits<46, 45>(low)),
            bit<47>(low)};
}

/// Byte offsets in the 64-bit TSS. SDM 3A, "Task Management in 64-bit Mode".
namespace tss64 {
inline constexpr u32 size = 104;
inline constexpr u32 io_map_base = 102;
/// Privilege levels 0 to 2.
constexpr u32 rsp_offset(unsigned privilege) { return 4 + 8 * privilege; }
/// IST 1 to 7.
constexpr u32 ist_offset(unsigned ist) { return 36 + 8 * (ist - 1); }
}  // namespace tss64

}  // namespace postern
