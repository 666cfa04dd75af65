// SPDX-License-Identifier: Apache-2.0
// The bare machine of guest_code.h.
#include "support/guest_code.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "arch/paging.h"
#include "arch/regs/segment.h"
#include "cpu/decode/block_cache.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
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

void GuestCode::load_registers(u32 cpl) {
    c.cr0 = Cr0Word{Cr0::pe, Cr0::mp, Cr0::et, Cr0::ne, Cr0::wp, Cr0::pg};
    c.cr4 = Cr4Word{Cr4::pae, Cr4::osfxsr, Cr4::osxmmexcpt};
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
    c.gpr[rsp] = guest_at::stack - 0x1000;
    c.rip = rip;
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

/// The handler's HLT has retired: RSP points to what delivery pushed.
void GuestCode::take_fault(GuestStop& stop, u64 counted) const {
    const auto vector = static_cast<Vector>((c.rip - guest_at::handlers) / handler_distance);
    const u64* frame = &at<u64>(c.gpr[rsp]);
    GuestFault fault{.vector = vector};
    if (has_error_code(vector)) fault.error_code = static_cast<u32>(*frame++);
    if (vector == Vector::page_fault) fault.cr2 = c.cr2;
    stop.state.rip = frame[0];
    stop.state.rflags = frame[2];
    stop.state.gpr[rsp] = frame[3];
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
    const bool in_handler = c.rip - guest_at::handlers < handler_distance * vectors;
    if (in_handler) {
        take_fault(stop, counted);
    } else {
        --stop.state.rip;
        --stop.instructions;
    }
    return stop;
}

}  // namespace postern::cpu
