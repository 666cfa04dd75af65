// SPDX-License-Identifier: Apache-2.0
// Instructions with one memory operand. Each locates the operand, which may fault, and only then
// reads and writes: memory first, registers and flags after it. SDM 2, the instruction of the same
// name, Operation and Flags Affected.
#include "hv/emulate/arithmetic.h"
#include "hv/emulate/emulator.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

using Kind = DecodedAccess::Kind;

/// The other half of an operand that does not cross a page.
void move_to_high_half(Operand& operand) {
    Piece& piece = operand.pieces[0];
    piece.address = piece.address + piece.size;
    piece.host = piece.host + piece.size;
    if (piece.bytes != nullptr) piece.bytes += piece.size;
}

}  // namespace

Result<> Emulator::carry_out() {
    switch (access_.kind) {
        case Kind::load:
        case Kind::load_zero_extended:
        case Kind::load_sign_extended:
        case Kind::load_swapped:
        case Kind::load_if: return load();
        case Kind::store_register:
        case Kind::store_immediate:
        case Kind::store_swapped:
        case Kind::set_if: return store();
        case Kind::arithmetic: return arithmetic();
        case Kind::bit: return bit();
        case Kind::exchange:
        case Kind::exchange_add: return exchange();
        case Kind::compare_exchange: return compare_exchange();
        case Kind::compare_exchange_pair: return compare_exchange_pair();
        default: return memory_.not_implemented("this access to a device");
    }
}

/// SDM 1, "Specifying an Offset".
u64 Emulator::effective_address(u64 displacement) const {
    const MemoryOperand& memory = access_.memory;
    u64 offset = memory.displacement + displacement;
    if (memory.rip_relative) offset += capture_->rip + access_.length;
    if (memory.base != MemoryOperand::none) offset += vcpu_.read_gpr(static_cast<Gpr>(memory.base));
    if (memory.index != MemoryOperand::none)
        offset += vcpu_.read_gpr(static_cast<Gpr>(memory.index)) * memory.scale;
    return offset & size_mask(memory.address_size);
}

/// The device is where the exit says; the operand of the instruction at RIP must be there, too.
/// That comparison is part of the guard: without it whatever lies at RIP is taken for what exited.
Result<> Emulator::find(bool reads, bool writes, u64 displacement) {
    if (!vcpu_.vm_.config().protections.has(Protection::guard)) {
        at_ = {};
        at_.pieces[0] = {.size = access_.memory_size, .address = device_};
        return Done{};
    }
    TRY(memory_.locate(at_, access_.memory.segment, effective_address(displacement),
                       access_.memory_size, writes ? GuestAccess::write : GuestAccess::read));
    return confirm(at_, reads, writes);
}

u64 Emulator::read_register() const {
    const u64 whole = vcpu_.read_gpr(static_cast<Gpr>(access_.gpr));
    return whole >> (access_.high_byte ? 8 : 0) & size_mask(access_.register_size);
}

void Emulator::write_register(u64 value) {
    const auto gpr = static_cast<Gpr>(access_.gpr);
    vcpu_.write_gpr(
        gpr, merge_register(vcpu_.read_gpr(gpr), value, access_.register_size, access_.high_byte));
}

void Emulator::write_sized(Gpr gpr, u64 value, unsigned bytes) {
    vcpu_.write_gpr(gpr, merge_register(vcpu_.read_gpr(gpr), value, bytes, false));
}

u64 Emulator::second_operand() const {
    return access_.by_register ? read_register() : access_.immediate;
}

void Emulator::write_flags(Rflags flags) {
    if (flags != flags_) vcpu_.port_.vmwrite(VmcsField::guest_rflags, flags.to_raw());
    flags_ = flags;
}

/// CMOVcc reads whatever the condition says, and clears the upper half all the same.
Result<> Emulator::load() {
    TRY(find(true, false));
    u64 value = memory_.read(at_);
    if (access_.kind == Kind::load_sign_extended) value = sign_extend(value, access_.memory_size);
    if (access_.kind == Kind::load_swapped) value = swap_bytes(value, access_.memory_size);
    if (access_.kind == Kind::load_if && !holds(static_cast<unsigned>(access_.immediate), flags_))
        value = read_register();
    write_register(value);
    return Done{};
}

Result<> Emulator::store() {
    TRY(find(false, true));
    u64 value = access_.immediate;
    if (access_.kind == Kind::store_register) value = read_register();
    if (access_.kind == Kind::store_swapped)
        value = swap_bytes(read_register(), access_.memory_size);
    if (access_.kind == Kind::set_if)
        value = holds(static_cast<unsigned>(access_.immediate), flags_) ? 1 : 0;
    memory_.write(at_, value);
    return Done{};
}

Result<> Emulator::arithmetic() {
    const bool writes = writes_result(access_.operation);
    const unsigned size = access_.memory_size;
    TRY(find(true, writes && !access_.to_register));
    const u64 in_memory = memory_.read(at_);
    const u64 other = second_operand() & size_mask(size);
    const u64 a = access_.to_register ? other : in_memory;
    const u64 b = access_.to_register ? in_memory : other;
    const Computed result = compute(access_.operation, a, b, size, flags_);
    if (writes && access_.to_register) write_register(result.value);
    if (writes && !access_.to_register) memory_.write(at_, result.value);
    write_flags(result.flags);
    return Done{};
}

/// A bit number in a register reaches other memory; it is signed. SDM 1, "Bit Strings".
Result<> Emulator::bit() {
    const unsigned width = bits_of(access_.memory_size);
    const u64 number = access_.by_register ? sign_extend(read_register(), access_.register_size)
                                           : access_.immediate % width;
    const i64 words = static_cast<i64>(number) >> __builtin_ctz(width);
    TRY(find(true, writes_result(access_.operation),
             static_cast<u64>(words) * access_.memory_size));
    const auto position = static_cast<unsigned>(number % width);
    const Computed result = compute_bit(access_.operation, memory_.read(at_), position, flags_);
    if (writes_result(access_.operation)) memory_.write(at_, result.value);
    write_flags(result.flags);
    return Done{};
}

/// XCHG and XADD.
Result<> Emulator::exchange() {
    TRY(find(true, true));
    const u64 in_memory = memory_.read(at_);
    const u64 in_register = read_register();
    if (access_.kind == Kind::exchange) {
        memory_.write(at_, in_register);
        write_register(in_memory);
        return Done{};
    }
    const Computed sum = add(in_memory, in_register, false, access_.memory_size, flags_);
    memory_.write(at_, sum.value);
    write_register(in_memory);
    write_flags(sum.flags);
    return Done{};
}

/// Memory is written whatever the comparison says: with its own value if they differ.
Result<> Emulator::compare_exchange() {
    const unsigned size = access_.memory_size;
    TRY(find(true, true));
    const u64 in_memory = memory_.read(at_);
    const u64 expected = vcpu_.read_gpr(rax) & size_mask(size);
    const bool equal = expected == in_memory;
    memory_.write(at_, equal ? read_register() : in_memory);
    if (!equal) write_sized(rax, in_memory, size);
    write_flags(subtract(expected, in_memory, false, size, flags_).flags);
    return Done{};
}

/// CMPXCHG8B and CMPXCHG16B, from what is in memory to what is stored: RDX and RAX are compared,
/// RCX and RBX stored.
void Emulator::compare_pair(u64& low, u64& high, unsigned bytes) {
    const u64 mask = size_mask(bytes);
    const bool equal = (vcpu_.read_gpr(rax) & mask) == low && (vcpu_.read_gpr(rdx) & mask) == high;
    if (equal) {
        low = vcpu_.read_gpr(rbx) & mask;
        high = vcpu_.read_gpr(rcx) & mask;
    } else {
        write_sized(rax, low, bytes);
        write_sized(rdx, high, bytes);
    }
    write_flags(flags_.with(Rflag::zf, equal));
}

Result<> Emulator::compare_exchange_pair() {
    const unsigned half = access_.memory_size / 2;
    if (half < 4) return memory_.not_implemented("this access to a device");
    if (half == 8 && effective_address(0) % 16 != 0)
        return memory_.fault(Event::exception(Vector::general_protection));
    TRY(find(true, true));
    if (half == 4) {
        const u64 both = memory_.read(at_);
        u64 low = both & size_mask(4);
        u64 high = both >> 32;
        compare_pair(low, high, half);
        memory_.write(at_, low | high << 32);
        return Done{};
    }
    at_.pieces[0].size = 8;
    destination_ = at_;
    move_to_high_half(destination_);
    u64 low = memory_.read(at_);
    u64 high = memory_.read(destination_);
    compare_pair(low, high, half);
    memory_.write(at_, low);
    memory_.write(destination_, high);
    return Done{};
}

}  // namespace postern::hv
