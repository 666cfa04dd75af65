// SPDX-License-Identifier: Apache-2.0
// The models, and what follows from a feature set.
#include "cpu/model.h"

#include <utility>

namespace postern::cpu {

namespace {

using enum Feature;

// Only what is implemented stands here.

/// x86-64-v2, and the system features that we compute ourselves.
constexpr FeatureSet v2_features{fpu,
                                 de,
                                 pse,
                                 tsc,
                                 msr,
                                 pae,
                                 mce,
                                 cx8,
                                 apic,
                                 sep,
                                 mtrr,
                                 pge,
                                 mca,
                                 cmov,
                                 pat,
                                 pse36,
                                 clflush,
                                 mmx,
                                 fxsr,
                                 sse,
                                 sse2,
                                 ss,
                                 sse3,
                                 ssse3,
                                 cx16,
                                 sse4_1,
                                 sse4_2,
                                 popcnt,
                                 pcid,
                                 x2apic,
                                 tsc_deadline,
                                 vmx,
                                 rdrand,
                                 fsgsbase,
                                 tsc_adjust,
                                 sgx,
                                 smep,
                                 invpcid,
                                 rdseed,
                                 smap,
                                 umip,
                                 rdpid,
                                 sgx_lc,
                                 arat,
                                 sgx1,
                                 sgx2,
                                 sgx_edeccssa,
                                 lahf_lm,
                                 syscall,
                                 nx,
                                 page1gb,
                                 rdtscp,
                                 lm,
                                 invariant_tsc,
                                 erms,
                                 md_clear,
                                 ibrs,
                                 stibp,
                                 ssbd,
                                 l1d_flush,
                                 arch_capabilities,
                                 monitor};

/// x86-64-v3, and what came with it.
constexpr FeatureSet v3_features =
    v2_features | FeatureSet{avx,     avx2,   f16c, fma,       xsave,      xsaveopt, xsavec,
                             xgetbv1, xsaves, aes,  pclmulqdq, bmi1,       bmi2,     lzcnt,
                             movbe,   adx,    pku,  prefetchw, clflushopt, clwb,     waitpkg};

constexpr FeatureSet icx_features = v3_features | FeatureSet{sha, vaes, vpclmulqdq, gfni};

/// These are no more than bits of CPUID, or what some model has.
constexpr FeatureSet built_features = icx_features | FeatureSet{hypervisor, htt};

constexpr u32 ice_lake_sp = 0x000606a6;

constexpr std::array models{
    Model{"postern-v3", v3_features, ice_lake_sp, 46, 48},
    Model{"postern-v2", v2_features, ice_lake_sp, 46, 48},
    Model{"postern-icx", icx_features, ice_lake_sp, 46, 48},
};

struct NamedFeature {
    std::string_view name;
    Feature feature;
};

constexpr std::array named_features{
#define FEATURE(name, word, bit) NamedFeature{#name, name},
#include "cpu/features.def"
#undef FEATURE
};

struct Cr4Row {
    Cr4 bit;
    Feature feature;
};

constexpr std::array cr4_rows{
    Cr4Row{Cr4::vme, vme},        Cr4Row{Cr4::pvi, vme},
    Cr4Row{Cr4::tsd, tsc},        Cr4Row{Cr4::de, de},
    Cr4Row{Cr4::pse, pse},        Cr4Row{Cr4::pae, pae},
    Cr4Row{Cr4::mce, mce},        Cr4Row{Cr4::pge, pge},
    Cr4Row{Cr4::pce, fpu},        Cr4Row{Cr4::osfxsr, fxsr},
    Cr4Row{Cr4::osxmmexcpt, sse}, Cr4Row{Cr4::umip, umip},
    Cr4Row{Cr4::la57, la57},      Cr4Row{Cr4::vmxe, vmx},
    Cr4Row{Cr4::smxe, smx},       Cr4Row{Cr4::fsgsbase, fsgsbase},
    Cr4Row{Cr4::pcide, pcid},     Cr4Row{Cr4::osxsave, xsave},
    Cr4Row{Cr4::smep, smep},      Cr4Row{Cr4::smap, smap},
    Cr4Row{Cr4::pke, pku},
};

}  // namespace

const Model& default_model() { return models.front(); }

std::span<const Model> all_models() { return models; }

const Model* find_model(std::string_view name) {
    for (const Model& model : models)
        if (model.name == name) return &model;
    return nullptr;
}

bool find_feature(std::string_view name, Feature& feature) {
    for (const NamedFeature& row : named_features) {
        if (row.name != name) continue;
        feature = row.feature;
        return true;
    }
    return false;
}

std::string_view name_of(Feature feature) {
    for (const NamedFeature& row : named_features)
        if (row.feature == feature) return row.name;
    return {};
}

bool is_built(Feature feature) { return built_features.has(feature); }

Cr4Word supported_cr4(const Model& model) {
    return [&]<size_t... n>(std::index_sequence<n...>) {
        return Cr4Word::from_raw(((u64{has_feature(model, cr4_rows[n].feature)}
                                   << static_cast<unsigned>(cr4_rows[n].bit)) |
                                  ...));
    }(std::make_index_sequence<cr4_rows.size()>{});
}

Xcr0Word supported_xcr0(const Model& model) {
    if (!has_feature(model, xsave)) return {};
    Xcr0Word word{Xcr0::x87, Xcr0::sse};
    word.set(Xcr0::avx, has_feature(model, avx));
    const bool zmm = has_feature(model, avx512f);
    for (const Xcr0 component : {Xcr0::opmask, Xcr0::zmm_hi256, Xcr0::hi16_zmm})
        word.set(component, zmm);
    word.set(Xcr0::pkru, has_feature(model, pku));
    return word;
}

}  // namespace postern::cpu
