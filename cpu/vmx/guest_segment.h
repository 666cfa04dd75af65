// SPDX-License-Identifier: Apache-2.0
// The eight guest segment registers between VMCS fields and struct Segment.
#pragma once

#include "arch/regs/segment.h"
#include "cpu/vmx/state.h"

namespace postern::cpu::vmx {

inline u64& segment_slot(Vmcs& v, VmcsField of_es, unsigned index) {
    return v.slot[vmcs_index(segment_field(of_es, index))];
}
inline u64 segment_slot(const Vmcs& v, VmcsField of_es, unsigned index) {
    return v.slot[vmcs_index(segment_field(of_es, index))];
}

inline Segment guest_segment(const Vmcs& v, unsigned index) {
    return {static_cast<u16>(segment_slot(v, VmcsField::guest_es_selector, index)),
            0,
            static_cast<u32>(segment_slot(v, VmcsField::guest_es_access_rights, index)),
            static_cast<u32>(segment_slot(v, VmcsField::guest_es_limit, index)),
            0,
            segment_slot(v, VmcsField::guest_es_base, index)};
}

inline void set_guest_segment(Vmcs& v, unsigned index, const Segment& segment) {
    segment_slot(v, VmcsField::guest_es_selector, index) = segment.selector;
    segment_slot(v, VmcsField::guest_es_access_rights, index) = segment.access_rights;
    segment_slot(v, VmcsField::guest_es_limit, index) = segment.limit;
    segment_slot(v, VmcsField::guest_es_base, index) = segment.base;
}

}  // namespace postern::cpu::vmx
