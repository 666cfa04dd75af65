// SPDX-License-Identifier: Apache-2.0
// What emulation needs of the virtual processor: registers, the mode, devices and ports.
#include "hv/emulate/arithmetic.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

bool is_pae(const PagingRegisters& paging) {
    return paging.cr0.has(Cr0::pg) && paging.cr4.has(Cr4::pae) && !paging.efer.has(Efer::lma);
}

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

/// SDM 2A, "CPUID", leaf 80000008H; a processor that lacks it has 36.
unsigned Vcpu::physical_bits() {
    if (physical_bits_ != 0) return physical_bits_;
    const u32 said = port_.cpuid(0x8000'0008, 0).eax & 0xff;
    physical_bits_ = said < 32 || said > 52 ? 36 : said;
    return physical_bits_;
}

PagingRegisters Vcpu::paging_registers() {
    PagingRegisters paging;
    paging.cr0 = Cr0Word::from_raw(port_.vmread(VmcsField::guest_cr0));
    paging.cr3 = port_.vmread(VmcsField::guest_cr3);
    paging.cr4 = Cr4Word::from_raw(port_.vmread(VmcsField::guest_cr4));
    paging.efer = EferWord::from_raw(port_.vmread(VmcsField::guest_ia32_efer));
    paging.physical_bits = physical_bits();
    paging.second_level = nested_.second_level();
    if (paging.cr4.has(Cr4::pke)) paging.pkru = port_.pkru();
    if (!is_pae(paging)) return paging;
    paging.pdpte = {port_.vmread(VmcsField::guest_pdpte0), port_.vmread(VmcsField::guest_pdpte1),
                    port_.vmread(VmcsField::guest_pdpte2), port_.vmread(VmcsField::guest_pdpte3)};
    return paging;
}

bool Vcpu::may_retry(u64 rip, unsigned at_most) {
    if (retries_.rip != rip) retries_ = {rip, 0};
    return ++retries_.count <= at_most;
}

/// What nobody answers reads as ones.
u64 Vcpu::read_device(Gpa address, unsigned size) {
    u64 value = 0;
    if (!device_read(address, size, value)) value = ~u64{0};
    return value & size_mask(size);
}

void Vcpu::write_device(Gpa address, unsigned size, u64 value) {
    device_write(address, size, value & size_mask(size));
}

u32 Vcpu::read_port(u16 number, unsigned size) {
    u32 value = 0;
    if (!vm_.devices().port_read(number, size, value)) value = ~u32{0};
    return value & static_cast<u32>(size_mask(size));
}

void Vcpu::write_port(u16 number, unsigned size, u32 value) {
    vm_.devices().port_write(number, size, value & static_cast<u32>(size_mask(size)));
}

}  // namespace postern::hv
