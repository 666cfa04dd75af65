// SPDX-License-Identifier: Apache-2.0
// What the guest's processor says of SGX, made from what the real one says and what the owner of
// the machine leaves of that. Pure functions: CPUID, the trapping of ENCLS and the policy of
// ECREATE all go by the one answer. What cannot be intercepted (every leaf of ENCLU) can only be
// left unmentioned here.
#pragma once

#include "arch/cpuid.h"
#include "arch/msr.h"
#include "arch/sgx/attributes.h"
#include "base/address.h"
#include "base/bits.h"
#include "hv/port.h"

namespace postern::hv {

/// size 0: the guest has no SGX.
struct EpcSection {
    Gpa base;
    u64 size = 0;
};

/// What the owner leaves of the processor's SGX; by itself all of it.
struct SgxMasks {
    u32 features = ~u32{0};    // CPUID.(12H,0):EAX
    u32 miscselect = ~u32{0};  // CPUID.(12H,0):EBX
    u64 attributes = ~u64{0};  // CPUID.(12H,1):EBX:EAX
    u64 xfrm = ~u64{0};        // CPUID.(12H,1):EDX:ECX
    u8 size_bits_32 = 0xff;    // at most, for CPUID.(12H,0):EDX
    u8 size_bits_64 = 0xff;
    bool launch_control = true;
};

/// The processor's own answers.
struct SgxProcessor {
    CpuidResult extended_features;  // leaf 7, subleaf 0
    CpuidResult features;           // leaf 12H, subleaf 0
    CpuidResult attributes;         // leaf 12H, subleaf 1
    u64 feature_control = 0;        // IA32_FEATURE_CONTROL
};

/// All members are 0 if the guest has no SGX.
struct SgxCapability {
    CpuidSgxEaxWord features;
    SgxMiscselectWord miscselect;
    SgxAttributeFlags attributes;
    Xcr0Word xfrm;
    u8 size_bits_32 = 0;
    u8 size_bits_64 = 0;
    bool launch_control = false;

    [[nodiscard]] constexpr bool present() const { return features.has(CpuidSgxEax::sgx1); }
    friend constexpr bool operator==(const SgxCapability&, const SgxCapability&) = default;
};

/// What we know how to give a guest. Not the leaves for oversubscription (they tell conflicts by a
/// VM exit of their own, which is not handled), nor EUPDATESVN (it is the whole machine's).
inline constexpr CpuidSgxEaxWord virtualized_sgx_features{
    CpuidSgxEax::sgx1, CpuidSgxEax::sgx2, CpuidSgxEax::everifyreport2, CpuidSgxEax::edeccssa};
inline constexpr SgxMiscselectWord virtualized_miscselect{SgxMiscselect::exinfo};
/// INIT is EINIT's to set.
inline constexpr SgxAttributeFlags virtualized_attributes{
    SgxAttribute::debug,          SgxAttribute::mode64bit, SgxAttribute::provisionkey,
    SgxAttribute::einittoken_key, SgxAttribute::kss,       SgxAttribute::aexnotify};

/// The registers of leaf 12H that are bit masks.
enum class SgxWord : u8 { features, miscselect, attributes, xfrm };

/// Why the guest's CPUID lacks a bit.
enum class SgxLack : u8 {
    none,               // it does not
    processor,          // the processor lacks it
    not_virtualized,    // the hypervisor cannot give it to a guest
    masked,             // the owner's mask leaves it out
    provisioning,       // the owner does not grant the provisioning key
    no_launch_control,  // nobody could use it
};

namespace detail {

constexpr u64 joined(u32 low, u32 high) { return low | u64{high} << 32; }
constexpr u8 smaller(u8 a, u8 b) { return a < b ? a : b; }

}  // namespace detail

/// The processor's bits of a word, those we can give, those that the owner leaves.
struct SgxWordSources {
    u64 processor, virtualized, mask;
};
constexpr SgxWordSources sources_of(SgxWord word, const SgxProcessor& cpu, const SgxMasks& masks) {
    switch (word) {
        case SgxWord::features:
            return {cpu.features.eax, virtualized_sgx_features.to_raw(), masks.features};
        case SgxWord::miscselect:
            return {cpu.features.ebx, virtualized_miscselect.to_raw(), masks.miscselect};
        case SgxWord::attributes:
            return {detail::joined(cpu.attributes.eax, cpu.attributes.ebx),
                    virtualized_attributes.to_raw(), masks.attributes};
        case SgxWord::xfrm:
            return {detail::joined(cpu.attributes.ecx, cpu.attributes.edx), ~u64{0}, masks.xfrm};
    }
    return {};
}

/// Why bit `number` of a word is, or is not, in the guest's CPUID: the first reason that holds.
constexpr SgxLack lack_of(SgxWord word, unsigned number, const SgxProcessor& cpu,
                          const SgxMasks& masks, bool provision_key) {
    const SgxWordSources sources = sources_of(word, cpu, masks);
    const u64 bit = u64{1} << number;
    if ((sources.processor & bit) == 0) return SgxLack::processor;
    if ((sources.virtualized & bit) == 0) return SgxLack::not_virtualized;
    // Legacy state is every enclave's: SDM 3D, "XFRM".
    if (word == SgxWord::xfrm && number < 2) return SgxLack::none;
    if ((sources.mask & bit) == 0) return SgxLack::masked;
    const bool provisions =
        word == SgxWord::attributes && number == static_cast<unsigned>(SgxAttribute::provisionkey);
    return provisions && !provision_key ? SgxLack::provisioning : SgxLack::none;
}

constexpr u64 offered_word(SgxWord word, const SgxProcessor& cpu, const SgxMasks& masks,
                           bool provision_key) {
    u64 offered = 0;
    for (unsigned number = 0; number < 64; ++number)
        if (lack_of(word, number, cpu, masks, provision_key) == SgxLack::none)
            offered |= u64{1} << number;
    return offered;
}

/// The guest may write IA32_SGXLEPUBKEYHASH only if we can: EINIT looks at the processor's.
constexpr bool offers_launch_control(const SgxProcessor& cpu, const SgxMasks& masks) {
    const auto control = FeatureControlWord::from_raw(cpu.feature_control);
    return bit<static_cast<unsigned>(Cpuid7Ecx::sgx_lc)>(cpu.extended_features.ecx) &&
           control.has_all({FeatureControl::lock, FeatureControl::sgx_lc}) && masks.launch_control;
}

/// What the guest has. SDM 3D, "Intel SGX Resource Enumeration Leaves".
constexpr SgxCapability offered_sgx(const SgxProcessor& cpu, const SgxMasks& masks,
                                    bool provision_key) {
    SgxCapability guest;
    const bool enabled = FeatureControlWord::from_raw(cpu.feature_control)
                             .has_all({FeatureControl::lock, FeatureControl::sgx_enable});
    const bool enumerated = bit<static_cast<unsigned>(Cpuid7Ebx::sgx)>(cpu.extended_features.ebx);
    const auto word = [&](SgxWord which) { return offered_word(which, cpu, masks, provision_key); };
    guest.features = CpuidSgxEaxWord::from_raw(static_cast<u32>(word(SgxWord::features)));
    if (!enabled || !enumerated || !guest.present()) return {};
    guest.miscselect = SgxMiscselectWord::from_raw(static_cast<u32>(word(SgxWord::miscselect)));
    guest.attributes = SgxAttributeFlags::from_raw(word(SgxWord::attributes));
    guest.xfrm = Xcr0Word::from_raw(word(SgxWord::xfrm));
    guest.size_bits_32 =
        detail::smaller(static_cast<u8>(bits<7, 0>(cpu.features.edx)), masks.size_bits_32);
    guest.size_bits_64 =
        detail::smaller(static_cast<u8>(bits<15, 8>(cpu.features.edx)), masks.size_bits_64);
    guest.launch_control = offers_launch_control(cpu, masks);
    return guest;
}

/// CPUID leaf 12H of a guest with one EPC section. XFRM does not follow the guest's XCR0: what an
/// enclave may have of it is ECREATE's to judge.
constexpr CpuidResult sgx_leaf(const SgxCapability& guest, const EpcSection& epc, u32 subleaf) {
    if (!guest.present() || epc.size == 0) return {};
    const u64 attributes = guest.attributes.to_raw(), xfrm = guest.xfrm.to_raw();
    switch (subleaf) {
        case 0:
            return {guest.features.to_raw(), guest.miscselect.to_raw(), 0,
                    cpuid_sgx_maximum_sizes(guest.size_bits_32, guest.size_bits_64)};
        case 1:
            return {static_cast<u32>(attributes), static_cast<u32>(attributes >> 32),
                    static_cast<u32>(xfrm), static_cast<u32>(xfrm >> 32)};
        case 2: {
            const CpuidRegisters section = cpuid_epc_section(epc.base.raw(), epc.size);
            return {section.eax, section.ebx, section.ecx, section.edx};
        }
        default: return {};
    }
}

}  // namespace postern::hv
