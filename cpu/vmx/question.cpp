// SPDX-License-Identifier: Apache-2.0
// Does the guest's hypervisor want this? The bitmaps behind the controls.
#include "arch/vmx/io_bitmap.h"
#include "arch/vmx/msr_bitmap.h"
#include "cpu/event/controls.h"
#include "cpu/mmu/access.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

bool is_set(Cpu& c, u64 bitmap, u16 byte, u8 bit) {
    return (read_physical(c, Hpa{bitmap + byte}, 1) >> bit & 1) != 0;
}

/// SDM 3C, "MSR-Bitmap Address".
bool exits_on_msr(Cpu& c, u32 msr, bool write) {
    if (!in_guest(c)) return false;
    if (!wants(c, PrimaryControl::use_msr_bitmaps)) return true;
    const BitmapBit at = msr_bitmap_bit(msr, write);
    return !at.covered || is_set(c, c.vmx.vmcs.get<F::msr_bitmap>(), at.byte, at.bit);
}

bool is_port_set(Cpu& c, u16 port) {
    const IoBitmapBit at = io_bitmap_bit(port);
    const Vmcs& v = c.vmx.vmcs;
    return is_set(c, at.in_b ? v.get<F::io_bitmap_b>() : v.get<F::io_bitmap_a>(), at.byte, at.bit);
}

}  // namespace

/// SDM 3C, "Exception Bitmap" and "Page-Fault Error-Code Mask and Match". Bit 2 is no NMI's.
bool exits_on_exception(const Cpu& c, Vector vector, u32 error_code) {
    const auto number = static_cast<unsigned>(vector);
    if (!in_guest(c) || number >= architectural_vector_count) return false;
    const Vmcs& v = c.vmx.vmcs;
    const bool wanted = (v.get<F::exception_bitmap>() >> number & 1) != 0;
    if (vector != Vector::page_fault) return wanted;
    const bool matches = (error_code & v.get<F::page_fault_error_code_mask>()) ==
                         v.get<F::page_fault_error_code_match>();
    return matches == wanted;
}

/// SDM 3C, "Instructions That Cause VM Exits Conditionally", IN and OUT.
bool exits_on_io(Cpu& c, u16 port, unsigned size) {
    if (!wants(c, PrimaryControl::use_io_bitmaps))
        return wants(c, PrimaryControl::unconditional_io_exiting);
    if (io_access_wraps(port, size)) return true;
    for (unsigned n = 0; n < size; ++n)
        if (is_port_set(c, static_cast<u16>(port + n))) return true;
    return false;
}

bool exits_on_rdmsr(Cpu& c, u32 msr) { return exits_on_msr(c, msr, false); }
bool exits_on_wrmsr(Cpu& c, u32 msr) { return exits_on_msr(c, msr, true); }

bool exits_on_encls(const Cpu& c, u32 eax) {
    return wants(c, SecondaryControl::enable_encls_exiting) &&
           leaf_exits(c.vmx.vmcs.get<F::encls_exiting_bitmap>(), eax);
}

}  // namespace postern::cpu::vmx
