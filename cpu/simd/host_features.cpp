// SPDX-License-Identifier: Apache-2.0
// The host's CPUID has its bits where ours has them.
#include "cpu/simd/host_features.h"

#include <cpuid.h>

#include "arch/regs/xcr0.h"
#include "base/types.h"

namespace postern::cpu {
namespace {

using enum Feature;

/// What thunks run. SSE2 is part of every x86-64 processor.
constexpr std::array needed_of_host{sse3, ssse3, sse4_1, sse4_2, avx,  avx2,      f16c,
                                    fma,  aes,   sha,    gfni,   vaes, pclmulqdq, vpclmulqdq};

/// Those that use YMM registers, which the host's system must save.
constexpr FeatureSet wide{avx, avx2, f16c, fma, vaes, vpclmulqdq};

u64 read_xcr0() {
    u32 low = 0;
    u32 high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return u64{high} << 32 | low;
}

struct HostWords {
    u32 leaf1_ecx = 0;
    u32 leaf7_ebx = 0;
    u32 leaf7_ecx = 0;

    [[nodiscard]] bool has(Feature f) const {
        const unsigned bit = static_cast<unsigned>(f) % 32;
        switch (static_cast<FeatureWord>(static_cast<unsigned>(f) / 32)) {
            case FeatureWord::leaf1_ecx: return (leaf1_ecx >> bit & 1) != 0;
            case FeatureWord::leaf7_ebx: return (leaf7_ebx >> bit & 1) != 0;
            case FeatureWord::leaf7_ecx: return (leaf7_ecx >> bit & 1) != 0;
            default: return false;
        }
    }
};

HostWords read_host() {
    HostWords words;
    u32 eax = 0;
    u32 ebx = 0;
    u32 ecx = 0;
    u32 edx = 0;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0) words.leaf1_ecx = ecx;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) {
        words.leaf7_ebx = ebx;
        words.leaf7_ecx = ecx;
    }
    return words;
}

bool saves_ymm(const HostWords& host) {
    return host.has(osxsave) && Xcr0Word::from_raw(read_xcr0()).has_all({Xcr0::sse, Xcr0::avx});
}

}  // namespace

FeatureSet host_features() {
    const HostWords host = read_host();
    const bool ymm = saves_ymm(host);
    FeatureSet features;
    for (const Feature f : needed_of_host) features.set(f, host.has(f) && (ymm || !wide.has(f)));
    return features;
}

bool lacks_feature(const FeatureSet& host, const Model& model, Feature& feature) {
    for (const Feature f : needed_of_host) {
        if (!has_feature(model, f) || host.has(f)) continue;
        feature = f;
        return true;
    }
    return false;
}

const Model* best_model(const FeatureSet& host) {
    const Model* best = nullptr;
    Feature ignored{};
    for (const Model& model : all_models()) {
        if (lacks_feature(host, model, ignored)) continue;
        if (best == nullptr || model.features.includes(best->features)) best = &model;
    }
    return best;
}

}  // namespace postern::cpu
