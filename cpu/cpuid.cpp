// SPDX-License-Identifier: Apache-2.0
// The CPUID leaves, one row and one function each.
#include "cpu/cpuid.h"

#include <array>
#include <cstring>
#include <string_view>

#include "arch/msr.h"
#include "base/bits.h"
#include "base/table.h"
#include "cpu/model.h"
#include "cpu/sgx/capability.h"
#include "cpu/simd/xsave_layout.h"

namespace postern::cpu {

namespace {

u32 word(const Cpu& c, FeatureWord w) { return c.system->model->features.word(w); }

bool has(const Cpu& c, Feature f) { return has_feature(*c.system->model, f); }

u32 feature_bit(Feature f, bool on) { return on ? u32{1} << static_cast<unsigned>(f) % 32 : 0; }

u32 four_bytes(std::string_view text, size_t offset) {
    u32 value = 0;
    if (offset < text.size())
        std::memcpy(&value, text.data() + offset,
                    text.size() - offset < 4 ? text.size() - offset : 4);
    return value;
}

CpuidResult vendor(const Cpu&, u32) {
    constexpr std::string_view name = "GenuineIntel";
    return {highest_basic_leaf, four_bytes(name, 0), four_bytes(name, 8), four_bytes(name, 4)};
}

CpuidResult version(const Cpu& c, u32) {
    constexpr u32 clflush_line = 8;  // times 8 bytes
    const u32 osxsave = feature_bit(Feature::osxsave, c.cr4.has(Cr4::osxsave));
    // SDM 3A, "Enabling or Disabling the Local APIC": as if there were none.
    const bool apic_on = ApicBaseWord::from_raw(c.msr.apic_base).has(ApicBase::global_enable);
    const u32 no_apic = feature_bit(Feature::apic, !apic_on);
    return {c.system->model->signature, c.number << 24 | 1u << 16 | clflush_line << 8,
            word(c, FeatureWord::leaf1_ecx) | osxsave, word(c, FeatureWord::leaf1_edx) & ~no_apic};
}

/// "Ask leaf 4."
CpuidResult cache_descriptors(const Cpu&, u32) { return {0x00feff01, 0, 0, 0}; }

/// SDM 2A, "CPUID", "Deterministic Cache Parameters Leaf".
struct Cache {
    u32 type;  // 1 data, 2 instruction, 3 unified
    u32 level;
    u32 ways;
    u32 sets;
};
constexpr std::array caches{Cache{1, 1, 12, 64}, Cache{2, 1, 8, 64}, Cache{3, 2, 20, 1024},
                            Cache{3, 3, 12, 32768}};

CpuidResult cache_parameters(const Cpu&, u32 subleaf) {
    if (subleaf >= caches.size()) return {};
    const Cache& cache = caches[subleaf];
    constexpr u32 line = 64;
    return {cache.type | cache.level << 5 | 1u << 8, (line - 1) | (cache.ways - 1) << 22,
            cache.sets - 1, 0};
}

/// SDM 2A, "CPUID", "MONITOR/MWAIT Leaf": lines of 64 bytes; masked interrupts may end a wait; one
/// kind of C0 and one of C1.
CpuidResult monitor_parameters(const Cpu& c, u32) {
    if (!has(c, Feature::monitor)) return {};
    return {64, 64, 3, 0x11};
}

CpuidResult thermal(const Cpu& c, u32) { return {word(c, FeatureWord::leaf6_eax), 0, 0, 0}; }

CpuidResult structured_features(const Cpu& c, u32 subleaf) {
    if (subleaf != 0) return {};
    const u32 ospke = feature_bit(Feature::ospke, c.cr4.has(Cr4::pke));
    return {0, word(c, FeatureWord::leaf7_ebx), word(c, FeatureWord::leaf7_ecx) | ospke,
            word(c, FeatureWord::leaf7_edx)};
}

/// Each processor is a package of one core with one thread.
CpuidResult topology(const Cpu& c, u32 subleaf) {
    constexpr u32 thread_level = 1;
    constexpr u32 core_level = 2;
    if (subleaf == 0) return {0, 1, thread_level << 8, c.number};
    if (subleaf == 1) return {0, 1, 1 | core_level << 8, c.number};
    return {0, 0, subleaf & 0xff, c.number};
}

/// SDM 2A, "CPUID", "Processor Extended State Enumeration Main Leaf" and its sub-leaves. Only
/// XCR0 has bits here, IA32_XSS none.
CpuidResult extended_state(const Cpu& c, u32 subleaf) {
    const Xcr0Word all = supported_xcr0(*c.system->model);
    const auto enabled = Xcr0Word::from_raw(c.xcr0);
    if (all.to_raw() == 0) return {};
    if (subleaf == 0)
        return {static_cast<u32>(all.to_raw()), XsaveLayout::standard().size_for(enabled),
                XsaveLayout::standard().size_for(all), static_cast<u32>(all.to_raw() >> 32)};
    if (subleaf == 1) {
        const bool compacts = has(c, Feature::xsavec) || has(c, Feature::xsaves);
        const u32 size = compacts ? XsaveLayout::compacted(enabled).size_for(enabled) : 0;
        return {word(c, FeatureWord::leafd1_eax), size, 0, 0};
    }
    for (const XsaveComponent& component : xsave_components)
        if (static_cast<u32>(component.bit) == subleaf && all.has(component.bit))
            return {component.size, component.offset, 0, 0};
    return {};
}

/// SDM 3D, "Intel SGX Resource Enumeration Leaves".
CpuidResult sgx_section(const Cpu& c) {
    constexpr u32 confidential_and_intact = 1;
    const u64 base = c.system->memory.epc_base;
    const u64 size = c.system->memory.epc_size;
    return {static_cast<u32>(bits<31, 12>(base) << 12 | 1), static_cast<u32>(bits<51, 32>(base)),
            static_cast<u32>(bits<31, 12>(size) << 12 | confidential_and_intact),
            static_cast<u32>(bits<51, 32>(size))};
}

CpuidResult sgx_leaf(const Cpu& c, u32 subleaf) {
    if (!has(c, Feature::sgx)) return {};
    const u64 xfrm = (supported_xcr0(*c.system->model) & sgx::supported_xfrm).to_raw() | 3;
    if (subleaf == 0)
        return {word(c, FeatureWord::leaf12_eax),
                static_cast<u32>(sgx::supported_miscselect.to_raw()), 0,
                sgx::enclave_size_bits_32 | sgx::enclave_size_bits_64 << 8};
    if (subleaf == 1) {
        const u64 attributes = sgx::attributes_of(*c.system->model).to_raw();
        return {static_cast<u32>(attributes), static_cast<u32>(attributes >> 32),
                static_cast<u32>(xfrm), static_cast<u32>(xfrm >> 32)};
    }
    return subleaf == 2 && c.system->memory.epc_size != 0 ? sgx_section(c) : CpuidResult{};
}

CpuidResult tsc_ratio(const Cpu&, u32) { return {1, tsc_hz / crystal_hz, crystal_hz, 0}; }

CpuidResult frequencies(const Cpu&, u32) {
    constexpr u32 mhz = 1'000'000;
    return {tsc_hz / mhz, tsc_hz / mhz, crystal_hz / mhz, 0};
}

CpuidResult empty(const Cpu&, u32) { return {}; }

CpuidResult extended_limit(const Cpu&, u32) { return {highest_extended_leaf, 0, 0, 0}; }

CpuidResult extended_features(const Cpu& c, u32) {
    return {0, 0, word(c, FeatureWord::extended1_ecx), word(c, FeatureWord::extended1_edx)};
}

constexpr std::string_view brand = "Postern Virtual Processor @ 1.00GHz";
static_assert(brand.size() < 48);

template <u32 part>
CpuidResult brand_string(const Cpu&, u32) {
    return {four_bytes(brand, 16 * part), four_bytes(brand, 16 * part + 4),
            four_bytes(brand, 16 * part + 8), four_bytes(brand, 16 * part + 12)};
}

/// L2: 1280 KiB, 64-byte lines; the associativity code 7 means "see leaf 4".
CpuidResult extended_cache(const Cpu&, u32) { return {0, 0, 1280u << 16 | 7u << 12 | 64, 0}; }

CpuidResult extended_time(const Cpu& c, u32) {
    return {0, 0, 0, word(c, FeatureWord::extended7_edx)};
}

CpuidResult address_sizes(const Cpu& c, u32) {
    return {c.system->physical_bits | u32{c.system->model->linear_bits} << 8,
            word(c, FeatureWord::extended8_ebx), 0, 0};
}

struct Leaf {
    u32 number;
    CpuidResult (*answer)(const Cpu&, u32 subleaf);
};

constexpr std::array leaves{
    Leaf{0x0, vendor},
    Leaf{0x1, version},
    Leaf{0x2, cache_descriptors},
    Leaf{0x4, cache_parameters},
    Leaf{0x5, monitor_parameters},
    Leaf{0x6, thermal},
    Leaf{0x7, structured_features},
    Leaf{0xb, topology},
    Leaf{0xd, extended_state},
    Leaf{0x12, sgx_leaf},
    Leaf{0x15, tsc_ratio},
    Leaf{0x16, frequencies},
    Leaf{0x8000'0000, extended_limit},
    Leaf{0x8000'0001, extended_features},
    Leaf{0x8000'0002, brand_string<0>},
    Leaf{0x8000'0003, brand_string<1>},
    Leaf{0x8000'0004, brand_string<2>},
    Leaf{0x8000'0006, extended_cache},
    Leaf{0x8000'0007, extended_time},
    Leaf{0x8000'0008, address_sizes},
};
static_assert(is_strictly_sorted(leaves, [](const Leaf& leaf) { return leaf.number; }));

bool exists(u32 leaf) {
    return leaf <= highest_basic_leaf || (leaf >= 0x8000'0000 && leaf <= highest_extended_leaf);
}

}  // namespace

CpuidResult cpuid(const Cpu& c, u32 leaf, u32 subleaf) {
    if (!exists(leaf)) leaf = highest_basic_leaf;
    for (const Leaf& row : leaves)
        if (row.number == leaf) return row.answer(c, subleaf);
    return empty(c, subleaf);
}

}  // namespace postern::cpu
