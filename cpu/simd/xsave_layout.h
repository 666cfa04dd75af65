// SPDX-License-Identifier: Apache-2.0
// Where state components lie in an XSAVE area. SDM 1, "Standard Format of XSAVE Area" and
// "Compacted Format of XSAVE Area".
#pragma once

#include <array>

#include "arch/regs/xcr0.h"

namespace postern::cpu {

/// Beyond the legacy region; in order of their bits. The offsets in the standard form are this
/// processor's, and those of Intel's processors with AVX-512.
struct XsaveComponent {
    Xcr0 bit;
    u32 size, offset;
};
inline constexpr std::array xsave_components{
    XsaveComponent{Xcr0::avx, 256, 576},        XsaveComponent{Xcr0::opmask, 64, 1088},
    XsaveComponent{Xcr0::zmm_hi256, 512, 1152}, XsaveComponent{Xcr0::hi16_zmm, 1024, 1664},
    XsaveComponent{Xcr0::pkru, 8, 2688},
};

/// No component is aligned to 64 bytes in the compacted form.
class XsaveLayout {
public:
    static constexpr XsaveLayout standard() { return XsaveLayout{false, {}}; }
    /// `components`: those that XCOMP_BV names, present or not.
    static constexpr XsaveLayout compacted(Xcr0Word components) {
        return XsaveLayout{true, components};
    }

    [[nodiscard]] constexpr bool is_compacted() const { return compacted_; }
    [[nodiscard]] constexpr u32 offset_of(const XsaveComponent& wanted) const {
        if (!compacted_) return wanted.offset;
        u32 offset = xsave_minimum_size;
        for (const XsaveComponent& component : xsave_components) {
            if (component.bit == wanted.bit) break;
            if (components_.has(component.bit)) offset += component.size;
        }
        return offset;
    }
    /// Of an area that holds `components`.
    [[nodiscard]] constexpr u32 size_for(Xcr0Word components) const {
        u32 size = xsave_minimum_size;
        for (const XsaveComponent& component : xsave_components)
            if (components.has(component.bit)) size = offset_of(component) + component.size;
        return size;
    }

private:
    constexpr XsaveLayout(bool compacted, Xcr0Word components)
        : compacted_{compacted}, components_{components} {}

    bool compacted_;
    Xcr0Word components_;
};

}  // namespace postern::cpu
