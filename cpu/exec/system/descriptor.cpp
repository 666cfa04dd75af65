// SPDX-License-Identifier: Apache-2.0
// Descriptors in memory, and the registers loaded from them.
#include "cpu/exec/system/descriptor.h"

#include "cpu/event/event.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"

namespace postern::cpu {

Result<Gva> find_descriptor(Cpu& c, u16 selector, unsigned size, u32 external, Vector fault) {
    const bool local = selects_ldt(selector);
    const u32 offset = selector_offset(selector);
    if (local && c.segment[ldtr].unusable())
        return raise(c, fault, selector_error(selector, external));
    const u64 base = local ? c.segment[ldtr].base : c.gdtr.base;
    const u32 limit = local ? c.segment[ldtr].limit : c.gdtr.limit;
    if (offset + size - 1 > limit) return raise(c, fault, selector_error(selector, external));
    const u64 address = base + offset;
    return Gva{in_ia32e_mode(c) ? address : static_cast<u32>(address)};
}

Result<u64> read_descriptor(Cpu& c, u16 selector, u32 external, Vector fault) {
    const Gva address = TRY(find_descriptor(c, selector, 8, external, fault));
    return load(c, address, 8, Accessor::supervisor);
}

Result<> mark_accessed(Cpu& c, u16 selector, u64 descriptor) {
    if (bit<40>(descriptor)) return Done{};
    const Gva address = TRY(find_descriptor(c, selector, 8));
    return store(c, address + 5, 1, bits<47, 40>(descriptor) | 1, Accessor::supervisor);
}

Segment loaded_segment(u16 selector, u64 descriptor) {
    Segment segment = segment_from_descriptor(selector, descriptor);
    segment.access_rights |= access_rights_accessed;
    return segment;
}

Segment code_segment(u16 selector, u64 descriptor, unsigned privilege) {
    return loaded_segment(static_cast<u16>((selector & ~3u) | privilege), descriptor);
}

Segment null_segment(u16 selector) {
    Segment none{};
    none.selector = selector;
    none.access_rights = access_rights_unusable;
    return none;
}

Segment real_mode_segment(const Segment& old, u16 selector) {
    constexpr u32 kept = 0xc000, data = 0x93;  // G and D/B; present, read/write, accessed
    Segment segment = old;
    segment.selector = selector;
    segment.base = u64{selector} << 4;
    segment.access_rights = (old.access_rights & kept) | data;
    return segment;
}

namespace {

// Present, S = 1, accessed, 4 GiB in pages: execute/read with L, or read/write with B.
constexpr u32 flat_code_rights = 0xa09b;
constexpr u32 flat_code_32_rights = 0xc09b;
constexpr u32 flat_stack_rights = 0xc093;
constexpr u32 flat_limit = 0xffff'ffff;

Segment flat(u16 selector, u32 rights, unsigned privilege) {
    Segment segment{};
    segment.selector = selector;
    segment.access_rights = rights | privilege << 5;
    segment.limit = flat_limit;
    return segment;
}

}  // namespace

Segment flat_code_segment(u16 selector, unsigned privilege, bool is_64_bit) {
    return flat(selector, is_64_bit ? flat_code_rights : flat_code_32_rights, privilege);
}

Segment flat_stack_segment(u16 selector, unsigned privilege) {
    return flat(selector, flat_stack_rights, privilege);
}

void set_segment_base(Cpu& c, SegmentIndex index, u64 base) {
    c.segment[index].base = base;
    if (index == fs) c.gpr[row_fs_base] = base;
    if (index == gs) c.gpr[row_gs_base] = base;
}

void set_segment(Cpu& c, SegmentIndex index, const Segment& value) {
    c.segment[index] = value;
    set_segment_base(c, index, value.base);
}

Result<u64> read_stack_descriptor(Cpu& c, u16 selector, unsigned privilege) {
    const u64 descriptor = TRY(read_descriptor(c, selector));
    const Segment stack = segment_from_descriptor(selector, descriptor);
    if ((selector & 3u) != privilege || !stack.writable() || stack.dpl() != privilege)
        return general_protection(c, selector_error(selector));
    if (!stack.present()) return raise(c, Vector::stack_fault, selector_error(selector));
    return descriptor;
}

void drop_inner_segments(Cpu& c, unsigned privilege) {
    for (const SegmentIndex index : {es, ds, fs, gs}) {
        const Segment& s = c.segment[index];
        if (s.unusable() || s.dpl() >= privilege) continue;
        if (s.is_code() && s.conforming()) continue;
        Segment none = s;
        none.selector = 0;
        none.access_rights |= access_rights_unusable;
        set_segment(c, index, none);
    }
}

void set_code_segment(Cpu& c, const Segment& code, unsigned privilege) {
    c.segment[cs] = code;
    if (c.cpl == privilege) return;
    c.cpl = privilege;
    select_tlb(c);
}

}  // namespace postern::cpu
