// SPDX-License-Identifier: Apache-2.0
// MMIO of normal exits: the instruction at RIP is fetched through the guest's page tables,
// decoded through the port and carried out on the device.
#include <array>

#include "hv/memory/guest_walk.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

constexpr size_t longest_instruction = 15;

constexpr u64 size_mask(unsigned bytes) { return bytes >= 8 ? ~u64{0} : (u64{1} << bytes * 8) - 1; }

constexpr u64 sign_extend(u64 value, unsigned bytes) {
    const unsigned shift = 64 - bytes * 8;
    return static_cast<u64>(static_cast<i64>(value << shift) >> shift);
}

/// What a write of `bytes` bytes leaves in a general-purpose register. SDM 1, "General-Purpose
/// Registers in 64-Bit Mode": 32-bit results clear the upper half, smaller ones leave the rest.
constexpr u64 merge_register(u64 old, u64 value, unsigned bytes, bool high_byte) {
    if (bytes == 8) return value;
    if (bytes == 4) return value & 0xffff'ffff;
    const unsigned shift = high_byte ? 8 : 0;
    const u64 mask = size_mask(bytes) << shift;
    return (old & ~mask) | (value << shift & mask);
}
static_assert(merge_register(~u64{0}, 0x12, 1, true) == 0xffff'ffff'ffff'12ff);
static_assert(merge_register(~u64{0}, 0x1234'5678, 4, false) == 0x1234'5678);

}  // namespace

u64 Vcpu::read_gpr(Gpr gpr) {
    return gpr == rsp ? port_.vmread(VmcsField::guest_rsp) : registers_.gpr[gpr];
}

void Vcpu::write_gpr(Gpr gpr, u64 value) {
    if (gpr == rsp)
        port_.vmwrite(VmcsField::guest_rsp, value);
    else
        registers_.gpr[gpr] = value;
}

CodeSize Vcpu::code_size() {
    const u32 rights = read32(VmcsField::guest_cs_access_rights);
    const auto efer = EferWord::from_raw(port_.vmread(VmcsField::guest_ia32_efer));
    if (efer.has(Efer::lma) && bit<13>(rights)) return CodeSize::bits64;
    return bit<14>(rights) ? CodeSize::bits32 : CodeSize::bits16;
}

DecodedAccess Vcpu::fetch_and_decode(u64 rip) {
    const PagingRegisters paging{Cr0Word::from_raw(port_.vmread(VmcsField::guest_cr0)),
                                 port_.vmread(VmcsField::guest_cr3),
                                 Cr4Word::from_raw(port_.vmread(VmcsField::guest_cr4)),
                                 EferWord::from_raw(port_.vmread(VmcsField::guest_ia32_efer))};
    const CodeSize size = code_size();
    const u64 base = size == CodeSize::bits64 ? 0 : port_.vmread(VmcsField::guest_cs_base);
    std::array<u8, longest_instruction> bytes{};
    const size_t count = read_guest(vm_, paging, Gva{base + rip}, bytes.data(), bytes.size());
    return port_.decode(bytes.data(), count, size);
}

/// Fails if the access is of a kind that is not implemented.
Result<> Vcpu::carry_out(const DecodedAccess& access, Gpa address) {
    using Kind = DecodedAccess::Kind;
    const auto gpr = static_cast<Gpr>(access.gpr);
    u64 value = 0;
    switch (access.kind) {
        case Kind::store_register:
            value = read_gpr(gpr) >> (access.high_byte ? 8 : 0);
            device_write(address, access.memory_size, value & size_mask(access.memory_size));
            return Done{};
        case Kind::store_immediate:
            device_write(address, access.memory_size,
                         access.immediate & size_mask(access.memory_size));
            return Done{};
        case Kind::load:
        case Kind::load_zero_extended:
        case Kind::load_sign_extended:
            if (!device_read(address, access.memory_size, value)) value = ~u64{0};
            value &= size_mask(access.memory_size);
            if (access.kind == Kind::load_sign_extended)
                value = sign_extend(value, access.memory_size);
            write_gpr(gpr,
                      merge_register(read_gpr(gpr), value, access.register_size, access.high_byte));
            return Done{};
        default: return Failed{};
    }
}

/// What cannot be carried out is CPL 3's own fault there; only the guest's kernel stops it.
Next Vcpu::emulate(Gpa address) {
    const DecodedAccess access = fetch_and_decode(port_.vmread(VmcsField::guest_rip));
    if (access.kind == DecodedAccess::Kind::undecodable ||
        address.offset() + access.memory_size > page_size || !carry_out(access, address).ok()) {
        if (record_.cpl != 3) return stop(StopReason::not_implemented, "this access to a device");
        ++counters_.injected_ud;
        act(Action::faulted);
        return inject(Event::exception(Vector::invalid_opcode));
    }
    ++counters_.emulated_mmio;
    act(Action::emulated);
    skip(access.length, RipCause::emulation);
    return Next::resume;
}

}  // namespace postern::hv
