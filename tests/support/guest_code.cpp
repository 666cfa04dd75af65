// SPDX-License-Identifier: Apache-2.0
// The bare machine of guest_code.h.
#include "support/guest_code.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "arch/paging.h"
#include "arch/regs/segment.h"
#include "arch/regs/xcr0.h"
#include "cpu/decode/block_cache.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"
#include "cpu/model.h"

namespace postern::cpu {
namespace {

/// Nothing is on it: reads are all ones. It asks to stop at a HLT, before time passes there.
class HaltBus : public Bus {
public:
    explicit HaltBus(const Cpu& c) : c_{c} {}
    u64 read(Hpa, unsigned) override { return ~u64{0}; }
    void write(Hpa, unsigned, u64) override {}
    u32 in(u16, unsigned) override { return ~u32{0}; }
    void out(u16, unsigned, u32) override {}
    [[nodiscard]] bool stop_requested() const override {
        return c_.event.activity == ActivityState::hlt;
    }

private:
    const Cpu& c_;
};

constexpr unsigned vectors = 256;
constexpr u64 handler_distance = 16;
constexpr unsigned software_vector = 0x80;  // ends code at CPL 3
constexpr u64 all_rights = pte_present | pte_write | pte_user;

struct Selector {
    u16 value;
    u32 access_rights;
};
constexpr Selector code0{0x08, 0xa09b}, data0{0x10, 0xc093}, data3{0x1b, 0xc0f3},
    code3{0x23, 0xa0fb}, task{0x28, 0x008b};
// Of the other modes; also where the GDT ends for them.
constexpr Selector code32{0x38, 0xc09b}, code32_user{0x43, 0xc0fb}, code16{0x48, 0x009b},
    data16{0x50, 0x0093}, task32{0x58, 0x008b}, code16_user{0x63, 0x00fb},
    data16_user{0x6b, 0x00f3};
constexpr u32 legacy_gdt_limit = 0x6f, narrow_limit = 0xffff;

Segment flat(Selector s) {
    Segment segment{};
    segment.selector = s.value;
    segment.access_rights = s.access_rights;
    segment.limit = 0xffff'ffff;
    return segment;
}

}  // namespace

struct GuestCode::Devices final : HaltBus {
    using HaltBus::HaltBus;
};

void GuestCode::Freed::operator()(u8* p) const { std::free(p); }

GuestCode::GuestCode(u32 cpl) : ram_{static_cast<u8*>(std::aligned_alloc(page_size, ram_size))} {
    std::memset(ram(), 0, ram_size);
    system.memory.ram = ram();
    system.memory.low_size = ram_size;
    bus_ = std::make_unique<Devices>(c);
    system.bus = bus_.get();
    system.model = &model;
    cpu::reset(c, system, 0);
    build_descriptors();
    load_registers(cpl);
    build_tables();
    set_plain_state(guest_at::code);
}

GuestCode::~GuestCode() { destroy(c); }

Model GuestCode::every_feature() {
    Model m = default_model();
#define FEATURE(name, word, bit) m.features.set(Feature::name);
#include "cpu/features.def"
#undef FEATURE
    return m;
}

void GuestCode::build_tables() {
    c.cr3 = guest_at::page_tables;
    for (u64 page = 0; page < ram_size; page += page_size) map(page, page, all_rights);
    entry(guest_at::not_present, 1) = 0;
    entry(guest_at::read_only, 1) &= ~pte_write;
    entry(guest_at::supervisor, 1) &= ~pte_user;
    entry(guest_at::no_execute, 1) |= pte_no_execute;
    flush_translations(c);
}

void GuestCode::build_descriptors() {
    for (const Selector s : {code0, data0, data3, code3})
        at<u64>(guest_at::gdt + selector_offset(s.value)) = descriptor_from_segment(flat(s));
    Segment tss = flat(task);
    tss.base = guest_at::tss;
    tss.limit = tss64::size - 1;
    at<u64>(guest_at::gdt + selector_offset(task.value)) = descriptor_from_segment(tss);
    c.segment[tr] = tss;
    constexpr u64 ist1 = 0x24, rsp0 = 4;  // SDM 3A, "64-Bit TSS Format"
    std::memcpy(ram(guest_at::tss + ist1), &guest_at::handler_stack, 8);
    std::memcpy(ram(guest_at::tss + rsp0), &guest_at::handler_stack, 8);
    for (unsigned v = 0; v < vectors; ++v) {
        const u64 handler = guest_at::handlers + v * handler_distance;
        ram(handler)[0] = hlt[0];
        constexpr u64 gate = 0x8e01, callable = 0x6000;  // interrupt gate, IST 1; DPL 3
        const u64 type = v == software_vector ? gate | callable : gate;
        at<u64>(guest_at::idt + 16 * v) =
            (handler & 0xffff) | u64{code0.value} << 16 | type << 32 | (handler >> 16) << 48;
    }
    c.gdtr = {guest_at::gdt, 0x3f};
    c.idtr = {guest_at::idt, 16 * vectors - 1};
}

namespace {

Segment narrow(Selector s) {
    Segment segment = flat(s);
    segment.limit = narrow_limit;
    return segment;
}

}  // namespace

/// Descriptors, a 32-bit TSS whose ESP0 is the handlers' stack, gates of 32 bits and vectors of
/// real mode to the same handlers.
void GuestCode::build_legacy_tables() {
    const auto put = [&](const Segment& s) {
        at<u64>(guest_at::gdt + selector_offset(s.selector)) = descriptor_from_segment(s);
    };
    for (const Selector s : {code32, code32_user}) put(flat(s));
    for (const Selector s : {code16, data16, code16_user, data16_user}) put(narrow(s));
    Segment tss = flat(task32);
    tss.base = guest_at::legacy_tss;
    tss.limit = 103;
    put(tss);
    at<u32>(guest_at::legacy_tss + 4) = static_cast<u32>(guest_at::handler_stack);
    at<u16>(guest_at::legacy_tss + 8) = data0.value;
    for (unsigned v = 0; v < vectors; ++v) {
        const u64 handler = guest_at::handlers + v * handler_distance;
        constexpr u64 gate = 0x8e00, callable = 0x6000;  // 32-bit interrupt gate; DPL 3
        const u64 type = v == software_vector ? gate | callable : gate;
        at<u64>(guest_at::legacy_idt + 8 * v) = handler | u64{code32.value} << 16 | type << 32;
        at<u32>(guest_at::vector_table + 4 * v) = static_cast<u32>(handler);
    }
    c.gdtr = {guest_at::gdt, legacy_gdt_limit};
    if (mode_ == GuestMode::compat32) return;
    c.segment[tr] = tss;
    c.idtr = {guest_at::legacy_idt, 8 * vectors - 1};
    if (mode_ == GuestMode::real16) c.idtr = {guest_at::vector_table, 4 * vectors - 1};
}

void GuestCode::load_real_segments() {
    const auto load = [&](SegmentIndex index, u16 selector) {
        Segment s{};
        s.selector = selector;
        s.access_rights = 0x93;
        s.limit = narrow_limit;
        s.base = u64{selector} << 4;
        c.segment[index] = s;
    };
    load(cs, guest_at::code >> 4);
    for (const SegmentIndex s : {es, ds, fs, gs}) load(s, guest_at::data >> 4);
    load(ss, (guest_at::stack - 0x1'0000) >> 4);
    for (const u8 row : {row_fs_base, row_gs_base}) c.gpr[row] = guest_at::data;
}

void GuestCode::set_mode(GuestMode mode) {
    mode_ = mode;
    build_legacy_tables();
    const bool user = c.cpl == 3;
    const bool is_narrow = mode == GuestMode::protected16;
    c.segment[cs] =
        is_narrow ? narrow(user ? code16_user : code16) : flat(user ? code32_user : code32);
    if (is_narrow) {
        c.segment[cs].base = guest_at::code;
        for (const SegmentIndex s : {es, ss, ds, fs, gs}) {
            c.segment[s] = narrow(user ? data16_user : data16);
            c.segment[s].base = s == ss ? guest_at::stack - 0x1'0000 : guest_at::data;
        }
    }
    if (mode == GuestMode::real16) load_real_segments();
    if (mode != GuestMode::compat32) {
        c.cr0.set(Cr0::pg, false);
        c.cr0.set(Cr0::pe, mode != GuestMode::real16);
        c.efer = {};
        c.cr4.set(Cr4::pae, false);
    }
    flush_translations(c);
}

void GuestCode::load_registers(u32 cpl) {
    c.cr0 = Cr0Word{Cr0::pe, Cr0::mp, Cr0::et, Cr0::ne, Cr0::wp, Cr0::pg};
    c.cr4 = Cr4Word{Cr4::pae, Cr4::osfxsr, Cr4::osxmmexcpt, Cr4::osxsave};
    c.xcr0 = Xcr0Word{Xcr0::x87, Xcr0::sse, Xcr0::avx}.to_raw();
    c.efer = EferWord{Efer::sce, Efer::lme, Efer::lma, Efer::nxe};
    set_cpl(cpl);
}

void GuestCode::set_cpl(u32 cpl) {
    c.segment[cs] = flat(cpl == 0 ? code0 : code3);
    for (const SegmentIndex s : {es, ss, ds, fs, gs}) c.segment[s] = flat(cpl == 0 ? data0 : data3);
    c.cpl = cpl;
    flush_translations(c);
}

u64& GuestCode::entry(u64 linear, unsigned level) const {
    u64 table = cr3_table(c.cr3);
    for (unsigned l = 4; l > level; --l)
        table = page_address(PageEntry::from_raw(at<u64>(table + 8 * linear_index(linear, l))), l);
    return at<u64>(table + 8 * linear_index(linear, level));
}

void GuestCode::map(u64 linear, u64 physical, u64 flags) {
    for (unsigned level = 4; level > 1; --level) {
        u64& e = entry(linear, level);
        if (e != 0) continue;
        e = next_table_ | all_rights;
        next_table_ += page_size;
    }
    entry(linear, 1) = physical | flags;
    flush_translations(c);
}

void GuestCode::write(u64 physical, std::span<const u8> bytes) {
    for (size_t n = 0; n < bytes.size(); ++n) {
        c.blocks->about_to_write(c, ram(physical + n), 1);
        *ram(physical + n) = bytes[n];
    }
}

void GuestCode::set_plain_state(u64 rip) {
    for (unsigned row = 0; row < 16; ++row)
        c.gpr[row] = 0x0101'0101'0101'0101u * (0x10 + row) ^ 0x8000'0000u;
    if (mode_ != GuestMode::long64)
        for (unsigned row = 0; row < 16; ++row) c.gpr[row] &= 0xffff'ffff;
    c.gpr[rsp] = guest_at::stack - 0x1000;
    if (c.segment[ss].base != 0) c.gpr[rsp] -= c.segment[ss].base;
    c.rip = rip - (mode_ == GuestMode::long64 ? 0 : c.segment[cs].base);
    set_rflags(c, 0);
    c.cr2 = 0;
    c.event = {};
    c.pending = {};
}

GuestState GuestCode::state() const {
    GuestState s{};
    std::copy_n(c.gpr.begin(), s.gpr.size(), s.gpr.begin());
    s.rip = c.rip;
    s.rflags = rflags(c);
    return s;
}

/// Of each word that delivery pushed.
unsigned GuestCode::pushed_size() const {
    if (in_ia32e_mode(c)) return 8;
    return in_real_mode(c) ? 2 : 4;
}

u64 GuestCode::pushed(u64& at) const {
    u64 word = 0;
    std::memcpy(&word, ram(at), pushed_size());
    at += pushed_size();
    return word;
}

/// The handler's HLT has retired: RSP points to what delivery pushed. RSP and SS are there if the
/// stack was switched.
void GuestCode::take_fault(GuestStop& stop, u64 counted) const {
    const u64 handler = code_linear(c) - guest_at::handlers;
    const auto vector = static_cast<Vector>(handler / handler_distance);
    const u64 stack_base = in_64_bit_mode(c) ? 0 : c.segment[ss].base;
    u64 frame = stack_pointer(c) + stack_base;
    GuestFault fault{.vector = vector};
    if (has_error_code(vector) && !in_real_mode(c))
        fault.error_code = static_cast<u32>(pushed(frame));
    if (vector == Vector::page_fault) fault.cr2 = c.cr2;
    stop.state.rip = pushed(frame);
    const auto selector = static_cast<u16>(pushed(frame));
    stop.state.rflags = pushed(frame);
    const bool switched = in_ia32e_mode(c) || (in_protected_mode(c) && (selector & 3u) != c.cpl);
    stop.state.gpr[rsp] = switched ? pushed(frame) : frame - stack_base;
    stop.instructions = counted - 1;
    if (vector == static_cast<Vector>(software_vector)) {
        stop.state.rip -= int80.size();
        --stop.instructions;
    } else {
        stop.fault = fault;
    }
}

GuestStop GuestCode::run(u64 limit, u64 slice) {
    const u64 start = now(c);
    const u64 end = start + limit;
    GuestStop stop;
    stop.outcome = RunOutcome::time;
    while (now(c) < end && stop.outcome == RunOutcome::time) {
        const u64 left = end - now(c);
        stop.outcome = cpu::run(c, now(c) + std::min(left, slice));
        if (c.event.activity == ActivityState::hlt) stop.outcome = RunOutcome::halted;
    }
    const u64 counted = now(c) - start;
    stop.state = state();
    stop.instructions = counted;
    if (stop.outcome != RunOutcome::halted) return stop;
    const bool in_handler = code_linear(c) - guest_at::handlers < handler_distance * vectors;
    if (in_handler) {
        take_fault(stop, counted);
    } else {
        --stop.state.rip;
        --stop.instructions;
    }
    return stop;
}

}  // namespace postern::cpu
