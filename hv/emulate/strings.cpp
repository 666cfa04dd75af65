// SPDX-License-Identifier: Apache-2.0
// String instructions, with memory, devices and ports. After each iteration RCX, RSI and RDI are
// those of the next: a fault, or the end of the exit's share, leaves the rest to be done. Status
// flags are changed by the last iteration only, and upper halves of 32-bit addresses are cleared
// even if none completes, as processors do. SDM 2B, "REP/REPE/REPZ/REPNE/REPNZ".
#include "hv/emulate/arithmetic.h"
#include "hv/emulate/emulator.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

using Kind = DecodedAccess::Kind;

}  // namespace

Result<Emulator::Progress> Emulator::repeat() {
    const Rflags before = flags_;
    const Result<Progress> done = iterate_all();
    if (done.ok() && done.value() == Progress::finished) return done;
    write_flags(before);
    if (access_.repeat != Repeat::none) clear_upper_halves();
    return done;
}

void Emulator::clear_upper_halves() {
    advance(rcx, 0);
    const bool moves = access_.kind == Kind::move_string;
    if (moves || access_.kind == Kind::store_string) advance(rdi, 0);
    if (moves) advance(rsi, 0);
}

/// What no longer meets a device is the processor's to go on with.
Result<Emulator::Progress> Emulator::iterate_all() {
    const bool repeats = access_.repeat != Repeat::none;
    // What an iteration has brought about is not kept waiting by those after it.
    const auto interrupted = [this] {
        vcpu_.apic_.catch_up();
        return flags_.has(Rflag::if_) && vcpu_.interrupt_waits();
    };
    for (unsigned n = 0; n < iterations_at_most; ++n) {
        if (repeats && string_register(rcx) == 0) return Progress::finished;
        const bool on_device = TRY(iterate(n == 0));
        if (!repeats) return Progress::finished;
        advance(rcx, ~u64{0});
        if (string_register(rcx) == 0 || is_ended_by_flags()) return Progress::finished;
        if (!on_device || flags_.has(Rflag::tf) || interrupted()) break;
    }
    return Progress::unfinished;
}

/// Whether a device had part in it.
Result<bool> Emulator::iterate(bool first) {
    switch (access_.kind) {
        case Kind::move_string: return move_once(first);
        case Kind::store_string: return store_once(first);
        case Kind::load_string: return load_once(first);
        case Kind::compare_strings: return compare_once(first);
        case Kind::scan_string: return scan_once(first);
        case Kind::input_string: return input_once();
        case Kind::output_string: return output_once();
        default: return memory_.not_implemented("this string instruction");
    }
}

u64 Emulator::string_register(Gpr gpr) const {
    return vcpu_.read_gpr(gpr) & size_mask(access_.memory.address_size);
}

void Emulator::advance(Gpr gpr, u64 by) {
    write_sized(gpr, string_register(gpr) + by, access_.memory.address_size);
}

void Emulator::step(Gpr gpr) {
    const u64 size = access_.memory_size;
    advance(gpr, flags_.has(Rflag::df) ? 0 - size : size);
}

bool Emulator::is_ended_by_flags() const {
    if (access_.kind != Kind::compare_strings && access_.kind != Kind::scan_string) return false;
    return flags_.has(Rflag::zf) != (access_.repeat == Repeat::while_equal);
}

Result<> Emulator::find_source() {
    return memory_.locate(at_, access_.memory.segment, string_register(rsi), access_.memory_size,
                          GuestAccess::read);
}
/// Always in ES.
Result<> Emulator::find_destination(GuestAccess access) {
    return memory_.locate(destination_, es, string_register(rdi), access_.memory_size, access);
}

/// SDM 2B, "MOVS/MOVSB/MOVSW/MOVSD/MOVSQ".
Result<bool> Emulator::move_once(bool first) {
    TRY(find_source());
    TRY(find_destination(GuestAccess::write));
    if (first && !is_the_access(at_, true, false)) TRY(confirm(destination_, false, true));
    memory_.write(destination_, memory_.read(at_));
    step(rsi);
    step(rdi);
    return at_.touches_device() || destination_.touches_device();
}

/// SDM 2B, "STOS/STOSB/STOSW/STOSD/STOSQ".
Result<bool> Emulator::store_once(bool first) {
    TRY(find_destination(GuestAccess::write));
    if (first) TRY(confirm(destination_, false, true));
    memory_.write(destination_, vcpu_.read_gpr(rax));
    step(rdi);
    return destination_.touches_device();
}

/// SDM 2A, "LODS/LODSB/LODSW/LODSD/LODSQ".
Result<bool> Emulator::load_once(bool first) {
    TRY(find_source());
    if (first) TRY(confirm(at_, true, false));
    write_sized(rax, memory_.read(at_), access_.memory_size);
    step(rsi);
    return at_.touches_device();
}

/// The operand of RDI first, as Intel's processors do. SDM 2A, "CMPS/CMPSB/CMPSW/CMPSD/CMPSQ".
Result<bool> Emulator::compare_once(bool first) {
    TRY(find_destination(GuestAccess::read));
    TRY(find_source());
    if (first && !is_the_access(at_, true, false)) TRY(confirm(destination_, true, false));
    const u64 b = memory_.read(destination_);
    write_flags(subtract(memory_.read(at_), b, false, access_.memory_size, flags_).flags);
    step(rsi);
    step(rdi);
    return at_.touches_device() || destination_.touches_device();
}

/// SDM 2B, "SCAS/SCASB/SCASW/SCASD/SCASQ".
Result<bool> Emulator::scan_once(bool first) {
    TRY(find_destination(GuestAccess::read));
    if (first) TRY(confirm(destination_, true, false));
    const u64 a = vcpu_.read_gpr(rax) & size_mask(access_.memory_size);
    write_flags(subtract(a, memory_.read(destination_), false, access_.memory_size, flags_).flags);
    step(rdi);
    return destination_.touches_device();
}

/// SDM 2A, "INS/INSB/INSW/INSD". The port is not read before its value has a place.
Result<bool> Emulator::input_once() {
    TRY(find_destination(GuestAccess::write));
    memory_.write(destination_, vcpu_.read_port(port_, access_.memory_size));
    step(rdi);
    return true;
}

/// SDM 2B, "OUTS/OUTSB/OUTSW/OUTSD".
Result<bool> Emulator::output_once() {
    TRY(find_source());
    vcpu_.write_port(port_, access_.memory_size, static_cast<u32>(memory_.read(at_)));
    step(rsi);
    return true;
}

}  // namespace postern::hv
