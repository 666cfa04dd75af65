// SPDX-License-Identifier: Apache-2.0
// Processor models: a name, a set of CPUID feature bits, a few numbers. An instruction whose
// feature the model lacks is #UD; a register bit whose feature it lacks is reserved.
#pragma once

#include <array>
#include <initializer_list>
#include <span>
#include <string_view>

#include "arch/regs/cr4.h"
#include "arch/regs/xcr0.h"
#include "base/types.h"

namespace postern::cpu {

/// The CPUID registers that are made of feature bits.
enum class FeatureWord : u8 {
    leaf1_ecx,
    leaf1_edx,
    leaf6_eax,
    leaf7_ebx,
    leaf7_ecx,
    leaf7_edx,
    leafd1_eax,
    leaf12_eax,
    extended1_ecx,
    extended1_edx,
    extended7_edx,
    extended8_ebx,
};
inline constexpr size_t feature_words = 12;

/// A bit of one of them: the word times 32 and the position.
enum class Feature : u16 {
#define FEATURE(name, word, bit) name = static_cast<u16>(FeatureWord::word) * 32 + (bit),
#include "cpu/features.def"
#undef FEATURE
};

class FeatureSet {
public:
    constexpr FeatureSet() = default;
    constexpr FeatureSet(std::initializer_list<Feature> features) {
        for (const Feature f : features) set(f);
    }
    constexpr void set(Feature f, bool on = true) {
        u32& word = words_[static_cast<size_t>(f) / 32];
        const u32 mask = u32{1} << static_cast<unsigned>(f) % 32;
        word = on ? word | mask : word & ~mask;
    }
    [[nodiscard]] constexpr bool has(Feature f) const {
        return (words_[static_cast<size_t>(f) / 32] >> static_cast<unsigned>(f) % 32 & 1) != 0;
    }
    friend constexpr FeatureSet operator|(const FeatureSet& a, const FeatureSet& b) {
        FeatureSet both = a;
        for (size_t n = 0; n < feature_words; ++n) both.words_[n] |= b.words_[n];
        return both;
    }
    [[nodiscard]] constexpr bool includes(const FeatureSet& other) const {
        return (*this | other).words_ == words_;
    }
    [[nodiscard]] constexpr u32 word(FeatureWord w) const { return words_[static_cast<size_t>(w)]; }

private:
    std::array<u32, feature_words> words_{};
};

/// What MAXPHYADDR may be: no less than with PAE in its first form, and what EPT with a page walk
/// of 4 can translate. SDM 3C, "EPT Translation Mechanism".
inline constexpr unsigned physical_bits_least = 36;
inline constexpr unsigned physical_bits_most = 48;

struct Model {
    std::string_view name;
    FeatureSet features;
    u32 signature;     // CPUID.01H:EAX
    u8 physical_bits;  // MAXPHYADDR
    u8 linear_bits;
};

constexpr bool has_feature(const Model& model, Feature feature) {
    return model.features.has(feature);
}

/// By name, or null. The first model is the default.
const Model* find_model(std::string_view name);
const Model& default_model();
std::span<const Model> all_models();

/// A feature by the name that features.def gives it; false: there is none.
bool find_feature(std::string_view name, Feature& feature);
std::string_view name_of(Feature feature);

/// Can a model be given the feature? Not all that have a name are implemented.
bool is_built(Feature feature);

/// The CR4 bits that software may set.
Cr4Word supported_cr4(const Model& model);

/// CPUID.(0DH,0):EDX:EAX. Without XSAVE: none.
Xcr0Word supported_xcr0(const Model& model);

/// Time: SDM 2A, "CPUID", leaves 15H and 16H.
inline constexpr u32 tsc_hz = 1'000'000'000;
inline constexpr u32 crystal_hz = 25'000'000;

}  // namespace postern::cpu
