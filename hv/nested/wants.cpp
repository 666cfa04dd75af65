// SPDX-License-Identifier: Apache-2.0
// Which of its guest's exits an L1 wants: by the controls the exit table looks at, and for some
// reasons by what L1 has in its memory or in masks. SDM 3C, "VM Exits Caused by Instructions" and
// "Other Causes of VM Exits".
#include <cstring>

#include "arch/regs/cr0.h"
#include "arch/vmx/exit_qualification.h"
#include "arch/vmx/io_bitmap.h"
#include "arch/vmx/msr_bitmap.h"
#include "hv/exit/table.h"
#include "hv/nested/nested.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

using F = VmcsField;

bool bit_of(const u8* bitmap, u32 byte, u32 bit) { return (bitmap[byte] >> bit & 1) != 0; }

/// What L1's masks say of a value that its guest moves to CR0 or CR4.
template <F mask, F shadow>
bool differs(const Vmcs12& l1, u64 value, u64 bits = ~u64{0}) {
    return ((value ^ l1.get<shadow>()) & l1.get<mask>() & bits) != 0;
}

bool is_cr3_target(const Vmcs12& l1, u64 value) {
    const u32 count = l1.get<F::cr3_target_count>();
    constexpr std::array targets{F::cr3_target_value_0, F::cr3_target_value_1,
                                 F::cr3_target_value_2, F::cr3_target_value_3};
    for (size_t n = 0; n < targets.size() && n < count; ++n)
        if (l1.get(targets[n]) == value) return true;
    return false;
}

bool wants_move_to(const Vmcs12& l1, unsigned control_register, u64 value) {
    switch (control_register) {
        case 0: return differs<F::cr0_guest_host_mask, F::cr0_read_shadow>(l1, value);
        case 3: return l1.has(PrimaryControl::cr3_load_exiting) && !is_cr3_target(l1, value);
        case 4: return differs<F::cr4_guest_host_mask, F::cr4_read_shadow>(l1, value);
        default: return l1.has(PrimaryControl::cr8_load_exiting);
    }
}

/// PE, MP, EM and TS; LMSW cannot clear PE.
bool wants_lmsw(const Vmcs12& l1, u64 source) {
    constexpr u64 written = Cr0Word{Cr0::mp, Cr0::em, Cr0::ts}.to_raw();
    constexpr u64 protection = Cr0Word{Cr0::pe}.to_raw();
    if (differs<F::cr0_guest_host_mask, F::cr0_read_shadow>(l1, source, written)) return true;
    const u64 sets = source & protection & ~l1.get<F::cr0_read_shadow>();
    return (sets & l1.get<F::cr0_guest_host_mask>()) != 0;
}

/// SDM 3C, "Instructions That Cause VM Exits Conditionally", CLTS.
bool wants_clts(const Vmcs12& l1) {
    constexpr u64 task_switched = Cr0Word{Cr0::ts}.to_raw();
    return (l1.get<F::cr0_guest_host_mask>() & l1.get<F::cr0_read_shadow>() & task_switched) != 0;
}

}  // namespace

bool Nested::wants_control_register(u64 qualification) const {
    const auto access = CrAccess::from_raw(qualification);
    const unsigned number = access.control_register();
    switch (access.type()) {
        case CrAccessType::mov_to_cr: {
            u64 value = vcpu_.read_gpr(access.gpr());
            if (!vcpu_.control_registers().in_64_bit_mode()) value = static_cast<u32>(value);
            return wants_move_to(state_.vmcs12, number, value);
        }
        case CrAccessType::mov_from_cr:
            return state_.vmcs12.has(number == 3 ? PrimaryControl::cr3_store_exiting
                                                 : PrimaryControl::cr8_store_exiting);
        case CrAccessType::clts: return wants_clts(state_.vmcs12);
        case CrAccessType::lmsw: break;
    }
    return wants_lmsw(state_.vmcs12, access.lmsw_source());
}

/// SDM 3C, "Exception Bitmap": a #PF by the mask and the match of its error code too.
bool Nested::wants_exception(unsigned vector, u32 error_code) const {
    const Vmcs12& l1 = state_.vmcs12;
    const bool bit = (l1.get<F::exception_bitmap>() >> (vector & 31) & 1) != 0;
    if (static_cast<Vector>(vector) != Vector::page_fault) return bit;
    const bool matches = (error_code & l1.get<F::page_fault_error_code_mask>()) ==
                         l1.get<F::page_fault_error_code_match>();
    return matches == bit;
}

/// Bitmaps outside L1's memory read as all ones.
bool Nested::wants_io(u64 qualification) const {
    const Vmcs12& l1 = state_.vmcs12;
    if (!l1.has(PrimaryControl::use_io_bitmaps))
        return l1.has(PrimaryControl::unconditional_io_exiting);
    const auto access = IoQualification::from_raw(qualification);
    if (io_access_wraps(access.port(), access.size())) return true;
    for (unsigned n = 0; n < access.size(); ++n) {
        const IoBitmapBit where = io_bitmap_bit(static_cast<u16>(access.port() + n));
        const u64 page = where.in_b ? l1.get<F::io_bitmap_b>() : l1.get<F::io_bitmap_a>();
        const u8* const bitmap = vcpu_.vm_.bytes_at(Gpa{page});
        if (bitmap == nullptr || bit_of(bitmap, where.byte, where.bit)) return true;
    }
    return false;
}

bool Nested::wants_msr(u32 msr, bool write) const {
    const Vmcs12& l1 = state_.vmcs12;
    if (!l1.has(PrimaryControl::use_msr_bitmaps)) return true;
    const BitmapBit where = msr_bitmap_bit(msr, write);
    const u8* const bitmap = vcpu_.vm_.bytes_at(Gpa{l1.get<F::msr_bitmap>()});
    return !where.covered || bitmap == nullptr || bit_of(bitmap, where.byte, where.bit);
}

/// EPT violations and misconfigurations are asked of L1's EPT instead.
bool Nested::wants(const Capture& exit) const {
    const Vmcs12& l1 = state_.vmcs12;
    const BasicReason reason = exit.reason.basic();
    const auto number = static_cast<size_t>(reason);
    if (number >= reason_limit || !row_of_reason[number]->wanted(l1)) return false;
    switch (reason) {
        case BasicReason::exception_or_nmi:
            // An NMI that exits is the host's: L1's come from its virtual local APIC.
            return exit.interruption.type() != InterruptionType::nmi &&
                   wants_exception(exit.interruption.vector(), exit.interruption_error_code);
        case BasicReason::control_register_access:
            return wants_control_register(exit.qualification);
        case BasicReason::io_instruction: return wants_io(exit.qualification);
        case BasicReason::rdmsr:
        case BasicReason::wrmsr:
            return wants_msr(static_cast<u32>(vcpu_.registers_.gpr[rcx]),
                             reason == BasicReason::wrmsr);
        case BasicReason::encls:
            return leaf_exits(l1.get<F::encls_exiting_bitmap>(),
                              static_cast<u32>(vcpu_.registers_.gpr[rax]));
        default: return true;
    }
}

}  // namespace postern::hv
