// SPDX-License-Identifier: Apache-2.0
// IN, OUT, INS, OUTS. The order is the manual's: #UD in an enclave, the I/O permission bits, the
// VM exit, the access.
#include "arch/vmx/exit_qualification.h"
#include "cpu/event/breakpoint.h"
#include "cpu/exec/segment_check.h"
#include "cpu/exec/system/common.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"

namespace postern::cpu {

namespace {

/// The TSS's permission bitmap, read as two bytes that must both lie within the limit. SDM 1,
/// "I/O Permission Bit Map".
Result<> check_permission_bitmap(Cpu& c, u16 port, unsigned size) {
    const Segment& task = c.segment[tr];
    if (tss64::io_map_base + 1 > task.limit) return general_protection(c);
    const u64 map = TRY(load(c, Gva{task.base + tss64::io_map_base}, 2, Accessor::supervisor));
    const u64 offset = map + port / 8;
    if (offset + 1 > task.limit) return general_protection(c);
    const u64 denied = TRY(load(c, Gva{task.base + offset}, 2, Accessor::supervisor));
    const u64 wanted = ((u64{1} << size) - 1) << port % 8;
    if ((denied & wanted) != 0) return general_protection(c);
    return Done{};
}

Result<> check_port(Cpu& c, u16 port, unsigned size) {
    TRY(refuse_in_enclave(c));
    if (c.cpl <= iopl(c.flags)) return Done{};
    return check_permission_bitmap(c, port, size);
}

bool exits(Cpu& c, u16 port, unsigned size) {
    return vmx::in_guest(c) && vmx::exits_on_io(c, port, size);
}

Failed io_exit(Cpu& c, IoQualification qualification) {
    return vmx::raise_exit(c, BasicReason::io_instruction, qualification.to_raw());
}

Result<> in(Cpu& c, const Insn& i, u16 port, bool immediate) {
    const unsigned size = operand_size(i);
    TRY(check_port(c, port, size));
    if (exits(c, port, size))
        return io_exit(
            c,
            IoQualification{}.with_size(size).with_in().with_immediate(immediate).with_port(port));
    const u32 value = c.system->bus->in(port, size);
    note_port_access(c, port, size);
    if (size == 1)
        c.gpr[rax] = (c.gpr[rax] & ~u64{0xff}) | (value & 0xff);
    else
        put_register(c, rax, size, value);
    return Done{};
}

Result<> out(Cpu& c, const Insn& i, u16 port, bool immediate) {
    const unsigned size = operand_size(i);
    TRY(check_port(c, port, size));
    if (exits(c, port, size))
        return io_exit(c,
                       IoQualification{}.with_size(size).with_immediate(immediate).with_port(port));
    const u64 mask = ~u64{0} >> (64 - 8 * size);
    c.system->bus->out(port, size, static_cast<u32>(c.gpr[rax] & mask));
    note_port_access(c, port, size);
    return Done{};
}

u16 port_dx(const Cpu& c) { return static_cast<u16>(c.gpr[rdx]); }

}  // namespace

/// SDM 2A, "IN"; SDM 2B, "OUT".
Result<> exec_in_imm(Cpu& c, const Insn& i) { return in(c, i, static_cast<u8>(i.imm), true); }
Result<> exec_in_dx(Cpu& c, const Insn& i) { return in(c, i, port_dx(c), false); }
Result<> exec_out_imm(Cpu& c, const Insn& i) { return out(c, i, static_cast<u8>(i.imm), true); }
Result<> exec_out_dx(Cpu& c, const Insn& i) { return out(c, i, port_dx(c), false); }

namespace {

// String forms: one iteration.

struct StringIo {
    unsigned size;
    bool repeated;
    u64 address_mask;
    u16 port;
    u8 pointer;  // RDI or RSI
    SegmentIndex segment;
    Gva linear;
};

u64 address_masked(const StringIo& s, u64 value) { return value & s.address_mask; }

/// Outside 64-bit mode the builder has put the address's size into scale.
u64 address_mask(const Cpu& c, const Insn& i) {
    if (!in_64_bit_mode(c)) return i.scale == 2 ? 0xffff : 0xffff'ffff;
    return (i.form & form_address32) != 0 ? 0xffff'ffff : ~u64{0};
}

AddressSize address_size(const StringIo& s) {
    if (s.address_mask == 0xffff) return AddressSize::bits16;
    return s.address_mask == 0xffff'ffff ? AddressSize::bits32 : AddressSize::bits64;
}

/// A new value for RCX, RSI or RDI: 16 bits leave the rest of the register alone.
void put_masked(Cpu& c, const StringIo& s, u8 row, u64 value) {
    const u64 kept = s.address_mask == 0xffff ? c.gpr[row] & ~s.address_mask : 0;
    c.gpr[row] = kept | address_masked(s, value);
}

StringIo string_io(const Cpu& c, const Insn& i, u8 pointer, SegmentIndex segment, u64 base) {
    StringIo s{.size = operand_size(i),
               .repeated = (i.form & (form_rep | form_repne)) != 0,
               .address_mask = address_mask(c, i),
               .port = port_dx(c),
               .pointer = pointer,
               .segment = segment,
               .linear = {}};
    const u64 offset = address_masked(s, c.gpr[pointer]);
    s.linear =
        Gva{in_64_bit_mode(c) ? offset + base : static_cast<u32>(offset + c.segment[segment].base)};
    return s;
}

bool is_done(const Cpu& c, const StringIo& s) {
    return s.repeated && address_masked(s, c.gpr[rcx]) == 0;
}

Failed string_exit(Cpu& c, const StringIo& s, bool is_in) {
    const auto information = StringIoInformation::of(address_size(s), s.segment);
    const auto qualification = IoQualification{}
                                   .with_size(s.size)
                                   .with_in(is_in)
                                   .with_string()
                                   .with_rep(s.repeated)
                                   .with_port(s.port);
    const Failed exit = vmx::raise_exit(c, BasicReason::io_instruction, qualification.to_raw(),
                                        information.to_raw());
    c.pending.guest_linear = s.linear.raw();
    return exit;
}

/// Moves the pointer; counts. More to do: the same instruction again, after a boundary.
void advance(Cpu& c, const StringIo& s) {
    note_port_access(c, s.port, s.size);
    const u64 step = c.flags.has(Rflag::df) ? u64{0} - s.size : u64{s.size};
    put_masked(c, s, s.pointer, c.gpr[s.pointer] + step);
    if (!s.repeated) return;
    put_masked(c, s, rcx, c.gpr[rcx] - 1);
    if (is_done(c, s)) return;
    c.next_rip = c.rip;
    c.event.repeating = true;
}

/// Outside 64-bit mode the segment has a say.
Result<> check_segment(Cpu& c, const StringIo& s, Access access) {
    if (in_64_bit_mode(c)) return Done{};
    TRY(segment_address(c, s.segment, address_masked(s, c.gpr[s.pointer]), s.size, access));
    return Done{};
}

/// The segment of RSI, as the builders note it.
SegmentIndex source_segment(const Cpu& c, const Insn& i) {
    if (!in_64_bit_mode(c)) return static_cast<SegmentIndex>(i.src);
    return i.segment == row_zero ? ds : operand_segment(i);
}

}  // namespace

/// SDM 2A, "INS/INSB/INSW/INSD". The destination is checked before the device is asked.
Result<> exec_ins(Cpu& c, const Insn& i) {
    const StringIo s = string_io(c, i, rdi, es, 0);
    TRY(refuse_in_enclave(c));
    if (is_done(c, s)) return Done{};
    TRY(check_port(c, s.port, s.size));
    if (exits(c, s.port, s.size)) return string_exit(c, s, true);
    TRY(check_segment(c, s, Access::write));
    TRY(probe_write(c, s.linear, s.size));
    TRY(check_alignment(c, s.linear, s.size));
    TRY(store(c, s.linear, s.size, c.system->bus->in(s.port, s.size)));
    advance(c, s);
    return Done{};
}

/// SDM 2B, "OUTS/OUTSB/OUTSW/OUTSD".
Result<> exec_outs(Cpu& c, const Insn& i) {
    const StringIo s = string_io(c, i, rsi, source_segment(c, i), c.gpr[i.segment]);
    TRY(refuse_in_enclave(c));
    if (is_done(c, s)) return Done{};
    TRY(check_port(c, s.port, s.size));
    if (exits(c, s.port, s.size)) return string_exit(c, s, false);
    TRY(check_segment(c, s, Access::read));
    const u64 value = TRY(load(c, s.linear, s.size));
    c.system->bus->out(s.port, s.size, static_cast<u32>(value));
    advance(c, s);
    return Done{};
}

}  // namespace postern::cpu
