// SPDX-License-Identifier: Apache-2.0
// The eight guest segment registers between VMCS fields and struct Segment.
#pragma once

#include "arch/regs/segment.h"
#include "cpu/vmx/state.h"

namespace postern::cpu::vmx {

/// The eight fields of a kind are neighbours in the table.
template <VmcsField of_es>
constexpr size_t segment_row(unsigned index) {
    constexpr bool are_neighbours = [] {
        for (unsigned n = 0; n < segment_count; ++n)
            if (vmcs_index(segment_field(of_es, n)) != vmcs_index(of_es) + n) return false;
        return true;
    }();
    static_assert(are_neighbours);
    return vmcs_index(of_es) + index;
}

inline Segment guest_segment(const Vmcs& v, unsigned index) {
    using F = VmcsField;
    return {static_cast<u16>(v.slot[segment_row<F::guest_es_selector>(index)]),
            0,
            static_cast<u32>(v.slot[segment_row<F::guest_es_access_rights>(index)]),
            static_cast<u32>(v.slot[segment_row<F::guest_es_limit>(index)]),
            0,
            v.slot[segment_row<F::guest_es_base>(index)]};
}

inline void set_guest_segment(Vmcs& v, unsigned index, const Segment& segment) {
    using F = VmcsField;
    v.slot[segment_row<F::guest_es_selector>(index)] = segment.selector;
    v.slot[segment_row<F::guest_es_access_rights>(index)] = segment.access_rights;
    v.slot[segment_row<F::guest_es_limit>(index)] = segment.limit;
    v.slot[segment_row<F::guest_es_base>(index)] = segment.base;
}

}  // namespace postern::cpu::vmx
