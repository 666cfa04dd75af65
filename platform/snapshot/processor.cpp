// SPDX-License-Identifier: Apache-2.0
// Copies field by field, and looks at what a file brings before anybody uses it: indices and
// offsets that the processor trusts, truth values, what the host's own unit would refuse.
#include "platform/snapshot/processor.h"

#include <zlib.h>

#include <bit>

#include "arch/sgx/ssa.h"
#include "cpu/flags.h"
#include "cpu/insn.h"
#include "cpu/mmu/monitor.h"
#include "platform/snapshot/fields.h"

namespace postern::platform::snapshot {
namespace {

using cpu::Cpu;

const u8* address_of(const Cpu& c) { return reinterpret_cast<const u8*>(&c); }

void copy_fields(Cpu& to, const Cpu& from) {
    each_field(from, [&](const auto& field) {
        const auto offset = reinterpret_cast<const u8*>(&field) - address_of(from);
        std::memcpy(reinterpret_cast<u8*>(&to) + offset, &field, sizeof field);
    });
}

/// Rows that are scratch, or the same in every processor.
void clear_scratch(Cpu& c) {
    c.gpr[cpu::row_zero] = c.gpr[cpu::row_block] = 0;
    for (size_t row = cpu::row_linear; row < c.gpr.size(); ++row) c.gpr[row] = 0;
    c.next_rip = 0;
}

constexpr bool is_known(ActivityState state) { return state <= ActivityState::wait_for_sipi; }

bool has_plausible_values(const Cpu& c) {
    bool good = true;
    each_field(c, [&](const auto& field) {
        using Field = std::remove_cvref_t<decltype(field)>;
        if constexpr (std::is_same_v<Field, bool>)
            good = good && is_truth(field);
        else if constexpr (std::is_enum_v<Field>)
            good = good && is_known(field);
    });
    return good;
}

/// The parts of an SSA frame that an AEX writes to without asking.
bool has_plausible_frame(const cpu::Enclave& e, u64 epc_size) {
    const auto within_page = [&](u64 at, u64 size) {
        return at < epc_size && at % page_size + size <= page_size;
    };
    bool good = within_page(e.ssa_gpr, sizeof(Gprsgx)) && within_page(e.ssa_misc, sizeof(Exinfo));
    for (const u64 at : e.ssa_xsave) good = good && within_page(at, page_size);
    return good;
}

bool has_plausible_enclave(const cpu::Enclave& e, u64 epc_size) {
    if (!e.active) return true;
    const u64 pages = epc_size / page_size;
    return e.secs_page < pages && e.tcs_page < pages && std::has_single_bit(e.size) &&
           e.ssa_frame_pages >= 1 && has_plausible_frame(e, epc_size);
}

bool has_plausible_registers(const Cpu& c) {
    constexpr u32 mxcsr_defined = 0xffff;
    const cpu::VirtualApicState& apic = c.vmx.virtual_apic;
    return c.cpl <= 3 && (c.vector.mxcsr & ~mxcsr_defined) == 0 && c.budget == 0 &&
           apic.write_size <= sizeof(u64) && apic.write_offset < page_size;
}

bool has_plausible_monitor(const cpu::Monitor& monitor, const cpu::PhysicalMemory& memory) {
    const Hpa line{monitor.line};
    return !monitor.armed ||
           (line.raw() % cpu::monitor_line == 0 && memory.pointer(line) != nullptr);
}

}  // namespace

u32 processor_layout() {
    static const auto origin = std::make_unique<Cpu>();
    uLong sum = crc32(0, nullptr, 0);
    each_field(*origin, [&](const auto& field) {
        const auto offset = reinterpret_cast<const u8*>(&field) - address_of(*origin);
        const std::array<u64, 2> place{static_cast<u64>(offset), sizeof field};
        sum = crc32(sum, reinterpret_cast<const u8*>(place.data()), sizeof place);
    });
    return static_cast<u32>(sum);
}

Bytes save_processor(const Cpu& c) {
    const auto plain = std::make_unique<Cpu>();
    copy_fields(*plain, c);
    cpu::set_rflags(*plain, cpu::rflags(c));
    plain->horizon = cpu::now(c);
    plain->budget = 0;
    clear_scratch(*plain);
    const u8* const bytes = address_of(*plain);
    return {bytes, bytes + processor_bytes};
}

std::unique_ptr<Cpu> plausible_processor(View bytes, u32 number, const cpu::System& system) {
    if (bytes.size() != processor_bytes) return nullptr;
    auto c = std::make_unique<Cpu>();
    std::memcpy(static_cast<void*>(c.get()), bytes.data(), processor_bytes);
    c->pending = {};
    const bool good = has_plausible_values(*c) && has_plausible_registers(*c) &&
                      has_plausible_enclave(c->enclave, system.memory.epc_size) &&
                      has_plausible_monitor(c->monitor, system.memory) && c->number == number &&
                      c->spaces.current < cpu::tlb_spaces;
    return good ? std::move(c) : nullptr;
}

void restore_processor(Cpu& c, const Cpu& from) {
    copy_fields(c, from);
    clear_scratch(c);
    c.pending = {};
    c.interrupt_run = c.turn_over = c.recheck = false;
}

}  // namespace postern::platform::snapshot
