// SPDX-License-Identifier: Apache-2.0
// The guest-state fields that a nested guest's two VMCSs simply share: loaded at its entry and
// saved at its exit as they are.
#pragma once

#include <array>

#include "arch/regs/segment.h"
#include "arch/vmx/vmcs_field.h"

namespace postern::hv {

/// Beside RIP, the segments and what controls decide about.
inline constexpr std::array guest_fields{
    VmcsField::guest_cr3,
    VmcsField::guest_rsp,
    VmcsField::guest_rflags,
    VmcsField::guest_gdtr_base,
    VmcsField::guest_gdtr_limit,
    VmcsField::guest_idtr_base,
    VmcsField::guest_idtr_limit,
    VmcsField::guest_ia32_sysenter_cs,
    VmcsField::guest_ia32_sysenter_esp,
    VmcsField::guest_ia32_sysenter_eip,
    VmcsField::guest_interruptibility_state,
    VmcsField::guest_activity_state,
    VmcsField::guest_pending_debug_exceptions,
};

inline constexpr std::array pdpte_fields{VmcsField::guest_pdpte0, VmcsField::guest_pdpte1,
                                         VmcsField::guest_pdpte2, VmcsField::guest_pdpte3};

template <class Do>
constexpr void for_each_segment_field(Do&& act) {
    for (unsigned index = 0; index < segment_count; ++index)
        for (const VmcsField of_es : {VmcsField::guest_es_selector, VmcsField::guest_es_limit,
                                      VmcsField::guest_es_access_rights, VmcsField::guest_es_base})
            act(segment_field(of_es, index));
}

}  // namespace postern::hv
