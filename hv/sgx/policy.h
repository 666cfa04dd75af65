// SPDX-License-Identifier: Apache-2.0
// What an enclave of the guest may be: the checks that ECREATE's source page must pass before the
// processor sees it, as pure functions of a copy of the page, and the record of what was refused.
#pragma once

#include <algorithm>
#include <array>
#include <type_traits>

#include "arch/sgx/leaf.h"
#include "arch/sgx/secs.h"
#include "hv/sgx/capability.h"

namespace postern::hv {

/// What a refused ECREATE or EINIT was refused for.
enum class SgxField : u64 {  // as wide as what lies beside it: a snapshot has no padding
    none,
    // The policy: the SECS that ECREATE was given.
    provision_key,
    einittoken_key,
    attributes,
    miscselect,
    xfrm_legacy,  // without x87 and SSE state
    xfrm,         // beyond CPUID.(12H,1)
    xfrm_xcr0,    // beyond what the guest can set in XCR0
    size,
    configuration,  // CONFIGID, CONFIGSVN without KSS
    cet,
    // The manual's checks that come first.
    operand,   // an address: misaligned, not canonical, outside DS
    pageinfo,  // LINADDR or SECS is not 0
    secinfo,
    processor,  // all else: the leaf itself faulted, `asked` with this vector
};

/// "asked" is the field's value, "allowed" all bits that may be set in it, a limit that it must be
/// below (size), or an alignment (operand).
struct SgxVerdict {
    SgxField field = SgxField::none;
    u64 asked = 0;
    u64 allowed = 0;

    [[nodiscard]] constexpr bool refused() const { return field != SgxField::none; }
    friend constexpr bool operator==(const SgxVerdict&, const SgxVerdict&) = default;
};

/// The last refusal, for the owner of the machine: the guest only learns #GP(0).
struct SgxRefusal {
    SgxVerdict verdict;
    EnclsLeaf leaf{};
    u32 vcpu = 0;
    u64 secs = 0;  // guest-physical; 0: the refusal came before it was known
    u64 rip = 0;
    u64 cr3 = 0;
    u64 tsc = 0;
    u64 number = 0;  // counts refusals, from 1; 0: there was none

    friend constexpr bool operator==(const SgxRefusal&, const SgxRefusal&) = default;
};
static_assert(std::is_trivially_copyable_v<SgxRefusal> && std::is_standard_layout_v<SgxRefusal>);

/// What the guest may ask for.
struct SgxPolicy {
    SgxCapability guest;
    Xcr0Word xcr0;  // CPUID.(0DH,0):EDX:EAX of the guest
};

inline constexpr Xcr0Word legacy_state{Xcr0::x87, Xcr0::sse};

/// An enclave is smaller than this. SDM 3D, "ECREATE", Operation, refuses 2 to the power that CPUID
/// gives, though its description of CPUID calls that the maximum; the processor does as the
/// operation says, and so do we.
constexpr u64 enclave_size_limit(unsigned size_bits) {
    return size_bits < 64 ? u64{1} << size_bits : ~u64{0};
}

namespace detail {

using Judge = SgxVerdict (*)(const Secs&, const SgxPolicy&);

constexpr SgxVerdict key(const Secs& secs, const SgxPolicy& policy, SgxAttribute key,
                         SgxField field) {
    const SgxAttributeFlags asked = secs.attributes.flags, allowed = policy.guest.attributes;
    if (!asked.has(key) || allowed.has(key)) return {};
    return {field, asked.to_raw(), allowed.to_raw()};
}

template <SgxField field>
constexpr SgxVerdict subset(u64 asked, u64 allowed) {
    if ((asked & ~allowed) == 0) return {};
    return {field, asked, allowed};
}

constexpr bool is_zero(const auto& bytes) {
    return std::ranges::all_of(bytes, [](u8 byte) { return byte == 0; });
}

constexpr SgxVerdict judge_provision_key(const Secs& secs, const SgxPolicy& policy) {
    return key(secs, policy, SgxAttribute::provisionkey, SgxField::provision_key);
}
constexpr SgxVerdict judge_einittoken_key(const Secs& secs, const SgxPolicy& policy) {
    return key(secs, policy, SgxAttribute::einittoken_key, SgxField::einittoken_key);
}
constexpr SgxVerdict judge_attributes(const Secs& secs, const SgxPolicy& policy) {
    return subset<SgxField::attributes>(secs.attributes.flags.to_raw(),
                                        policy.guest.attributes.to_raw());
}
constexpr SgxVerdict judge_miscselect(const Secs& secs, const SgxPolicy& policy) {
    return subset<SgxField::miscselect>(secs.miscselect.to_raw(), policy.guest.miscselect.to_raw());
}
constexpr SgxVerdict judge_xfrm_legacy(const Secs& secs, const SgxPolicy&) {
    const Xcr0Word asked = secs.attributes.xfrm;
    if (asked.has_all(legacy_state)) return {};
    return {SgxField::xfrm_legacy, asked.to_raw(), legacy_state.to_raw()};
}
constexpr SgxVerdict judge_xfrm(const Secs& secs, const SgxPolicy& policy) {
    return subset<SgxField::xfrm>(secs.attributes.xfrm.to_raw(), policy.guest.xfrm.to_raw());
}
constexpr SgxVerdict judge_xfrm_xcr0(const Secs& secs, const SgxPolicy& policy) {
    return subset<SgxField::xfrm_xcr0>(secs.attributes.xfrm.to_raw(),
                                       (policy.xcr0 | legacy_state).to_raw());
}
constexpr SgxVerdict judge_size(const Secs& secs, const SgxPolicy& policy) {
    const bool mode64 = secs.attributes.flags.has(SgxAttribute::mode64bit);
    const u64 limit =
        enclave_size_limit(mode64 ? policy.guest.size_bits_64 : policy.guest.size_bits_32);
    if (secs.size < limit) return {};
    return {SgxField::size, secs.size, limit};
}
constexpr SgxVerdict judge_configuration(const Secs& secs, const SgxPolicy&) {
    if (secs.attributes.flags.has(SgxAttribute::kss)) return {};
    if (secs.configsvn != 0) return {SgxField::configuration, secs.configsvn, 0};
    if (is_zero(secs.configid)) return {};
    u64 first = 0;
    for (unsigned i = 0; i < 8; ++i) first |= u64{secs.configid[i]} << 8 * i;
    return {SgxField::configuration, first, 0};
}
/// No guest is offered CET in enclaves.
constexpr SgxVerdict judge_cet(const Secs& secs, const SgxPolicy&) {
    if (secs.cet_attributes.to_raw() != 0) return {SgxField::cet, secs.cet_attributes.to_raw(), 0};
    if (secs.cet_leg_bitmap_offset != 0) return {SgxField::cet, secs.cet_leg_bitmap_offset, 0};
    return {};
}

inline constexpr std::array<Judge, 10> judges{judge_provision_key, judge_einittoken_key,
                                              judge_attributes,    judge_miscselect,
                                              judge_xfrm_legacy,   judge_xfrm,
                                              judge_xfrm_xcr0,     judge_size,
                                              judge_configuration, judge_cet};

}  // namespace detail

/// The first check that `secs` fails. What is not looked at here (alignment of the base, a size
/// that is no power of two, room in the SSA frame, reserved bytes) no owner decides about: the
/// processor refuses it.
constexpr SgxVerdict judge_secs(const Secs& secs, const SgxPolicy& policy) {
    for (const detail::Judge judge : detail::judges) {
        const SgxVerdict verdict = judge(secs, policy);
        if (verdict.refused()) return verdict;
    }
    return {};
}

}  // namespace postern::hv
