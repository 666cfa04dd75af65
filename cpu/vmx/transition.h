// SPDX-License-Identifier: Apache-2.0
// What VM entries and VM exits have in common: host state, and which translations survive.
#pragma once

#include "arch/vmx/transition.h"
#include "cpu/cpu.h"

namespace postern::cpu::vmx {

/// A segment register with its mirror in the general registers' array.
inline void set_segment(Cpu& c, unsigned index, const Segment& segment) {
    c.segment[index] = segment;
    if (index == fs) c.gpr[row_fs_base] = segment.base;
    if (index == gs) c.gpr[row_gs_base] = segment.base;
}

/// Of the events, what neither a VM entry nor a VM exit takes away: signals still to come in. (A
/// SIPI that finds nobody waiting for it is lost at the boundary before.)
EventState what_stays_pending(const EventState& event);

/// The last steps of a VM exit and of a failed entry: host state, VMX root operation, then the
/// MSR list of the exit. A VMX abort is left in VmxState::abort; an MSR of the list that is not
/// implemented, in Cpu::pending. SDM 3C, "Loading Host State" and "Loading MSRs".
void enter_root(Cpu& c);

/// What a VM entry or VM exit met is not implemented: the run ends by that name.
inline bool is_unimplemented(const Cpu& c) { return c.pending.kind == PendingKind::unimplemented; }

/// SDM 3C, "VMX Aborts": the indicator is written to the VMCS region, and the processor shuts down
/// for good.
enum class Abort : u32 {
    saving_guest_msrs = 1,
    host_pdptes = 2,
    loading_host_msrs = 4,
    host_address_space_size = 6,  // the guest was in IA-32e mode, the host is not to be
};
void abort(Cpu& c, Abort indicator);

/// Before guest state changes at an exit, and after it is loaded at an entry. SDM 3C,
/// "Operations that Invalidate Cached Mappings": without a VPID both transitions do, and an EPT
/// violation does for the page it struck.
struct Exit;
void leave_guest_translations(Cpu& c, const Exit& e);
void enter_guest_translations(Cpu& c);

}  // namespace postern::cpu::vmx
