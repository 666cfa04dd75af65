// SPDX-License-Identifier: Apache-2.0
// CPUID: leaf numbers, the feature bits of each register, helpers that compose registers.
#pragma once

#include <string_view>

#include "base/bits.h"
#include "base/flag_word.h"

namespace postern {

struct CpuidRegisters {
    u32 eax = 0;
    u32 ebx = 0;
    u32 ecx = 0;
    u32 edx = 0;

    friend constexpr bool operator==(const CpuidRegisters&, const CpuidRegisters&) = default;
};

/// SDM 2A, "CPUID".
enum class CpuidLeaf : u32 {
    vendor = 0x0,
    version_and_features = 0x1,
    cache_descriptors = 0x2,
    cache_parameters = 0x4,
    monitor_mwait = 0x5,
    thermal_and_power = 0x6,
    extended_features = 0x7,
    performance_monitoring = 0xa,
    topology = 0xb,
    xsave = 0xd,
    sgx = 0x12,
    processor_trace = 0x14,
    tsc_and_crystal = 0x15,
    frequency = 0x16,
    key_locker = 0x19,
    topology_v2 = 0x1f,
    hypervisor = 0x4000'0000,
    extended_maximum = 0x8000'0000,
    extended_version_and_features = 0x8000'0001,
    brand_string_1 = 0x8000'0002,
    brand_string_2 = 0x8000'0003,
    brand_string_3 = 0x8000'0004,
    extended_cache = 0x8000'0006,
    invariant_tsc = 0x8000'0007,
    address_sizes = 0x8000'0008,
};

/// Leaf 1.
enum class Cpuid1Ecx : u8 {
    sse3 = 0,
    pclmulqdq = 1,
    dtes64 = 2,
    monitor = 3,
    ds_cpl = 4,
    vmx = 5,
    smx = 6,
    eist = 7,
    tm2 = 8,
    ssse3 = 9,
    cnxt_id = 10,
    sdbg = 11,
    fma = 12,
    cmpxchg16b = 13,
    xtpr = 14,
    pdcm = 15,
    pcid = 17,
    dca = 18,
    sse4_1 = 19,
    sse4_2 = 20,
    x2apic = 21,
    movbe = 22,
    popcnt = 23,
    tsc_deadline = 24,
    aesni = 25,
    xsave = 26,
    osxsave = 27,
    avx = 28,
    f16c = 29,
    rdrand = 30,
    hypervisor = 31,
};
using Cpuid1EcxWord = FlagWord<Cpuid1Ecx, u32>;

enum class Cpuid1Edx : u8 {
    fpu = 0,
    vme = 1,
    de = 2,
    pse = 3,
    tsc = 4,
    msr = 5,
    pae = 6,
    mce = 7,
    cx8 = 8,
    apic = 9,
    sep = 11,
    mtrr = 12,
    pge = 13,
    mca = 14,
    cmov = 15,
    pat = 16,
    pse36 = 17,
    psn = 18,
    clfsh = 19,
    ds = 21,
    acpi = 22,
    mmx = 23,
    fxsr = 24,
    sse = 25,
    sse2 = 26,
    ss = 27,
    htt = 28,
    tm = 29,
    pbe = 31,
};
using Cpuid1EdxWord = FlagWord<Cpuid1Edx, u32>;

/// Leaf 7, subleaf 0.
enum class Cpuid7Ebx : u8 {
    fsgsbase = 0,
    tsc_adjust = 1,
    sgx = 2,
    bmi1 = 3,
    hle = 4,
    avx2 = 5,
    fdp_excptn_only = 6,
    smep = 7,
    bmi2 = 8,
    erms = 9,
    invpcid = 10,
    rtm = 11,
    rdt_m = 12,
    deprecates_fpu_cs_ds = 13,
    mpx = 14,
    rdt_a = 15,
    avx512f = 16,
    avx512dq = 17,
    rdseed = 18,
    adx = 19,
    smap = 20,
    avx512_ifma = 21,
    clflushopt = 23,
    clwb = 24,
    processor_trace = 25,
    avx512pf = 26,
    avx512er = 27,
    avx512cd = 28,
    sha = 29,
    avx512bw = 30,
    avx512vl = 31,
};
using Cpuid7EbxWord = FlagWord<Cpuid7Ebx, u32>;

enum class Cpuid7Ecx : u8 {
    prefetchwt1 = 0,
    avx512_vbmi = 1,
    umip = 2,
    pku = 3,
    ospke = 4,
    waitpkg = 5,
    avx512_vbmi2 = 6,
    cet_ss = 7,
    gfni = 8,
    vaes = 9,
    vpclmulqdq = 10,
    avx512_vnni = 11,
    avx512_bitalg = 12,
    tme_en = 13,
    avx512_vpopcntdq = 14,
    la57 = 16,
    rdpid = 22,
    key_locker = 23,
    bus_lock_detect = 24,
    cldemote = 25,
    movdiri = 27,
    movdir64b = 28,
    enqcmd = 29,
    sgx_lc = 30,
    pks = 31,
};
using Cpuid7EcxWord = FlagWord<Cpuid7Ecx, u32>;

enum class Cpuid7Edx : u8 {
    sgx_keys = 1,
    avx512_4vnniw = 2,
    avx512_4fmaps = 3,
    fast_short_rep_mov = 4,
    uintr = 5,
    avx512_vp2intersect = 8,
    srbds_ctrl = 9,
    md_clear = 10,
    rtm_always_abort = 11,
    rtm_force_abort = 13,
    serialize = 14,
    hybrid = 15,
    tsxldtrk = 16,
    pconfig = 18,
    architectural_lbr = 19,
    cet_ibt = 20,
    amx_bf16 = 22,
    avx512_fp16 = 23,
    amx_tile = 24,
    amx_int8 = 25,
    ibrs_ibpb = 26,
    stibp = 27,
    l1d_flush = 28,
    arch_capabilities = 29,
    core_capabilities = 30,
    ssbd = 31,
};
using Cpuid7EdxWord = FlagWord<Cpuid7Edx, u32>;

/// Leaf DH, subleaf 1.
enum class CpuidXsaveEax : u8 { xsaveopt = 0, xsavec = 1, xgetbv_ecx_1 = 2, xsaves = 3, xfd = 4 };
using CpuidXsaveEaxWord = FlagWord<CpuidXsaveEax, u32>;

/// Leaf 80000001H.
enum class CpuidExtEcx : u8 { lahf_lm = 0, lzcnt = 5, prefetchw = 8 };
using CpuidExtEcxWord = FlagWord<CpuidExtEcx, u32>;

enum class CpuidExtEdx : u8 {
    syscall = 11,
    execute_disable = 20,
    page_1gb = 26,
    rdtscp = 27,
    intel64 = 29,
};
using CpuidExtEdxWord = FlagWord<CpuidExtEdx, u32>;

/// Leaf 80000007H, EDX.
inline constexpr u32 cpuid_invariant_tsc = 1u << 8;

/// Leaf 12H, subleaf 0. SDM 3D, "Intel SGX Resource Enumeration Leaves".
enum class CpuidSgxEax : u8 {
    sgx1 = 0,
    sgx2 = 1,
    enclv = 5,
    oversub = 6,
    everifyreport2 = 7,
    eupdatesvn = 10,
    edeccssa = 11,
};
using CpuidSgxEaxWord = FlagWord<CpuidSgxEax, u32>;

/// EDX of leaf 12H, subleaf 0: log2 of the largest enclave outside and inside 64-bit mode.
constexpr u32 cpuid_sgx_maximum_sizes(unsigned log2_32_bit, unsigned log2_64_bit) {
    return log2_32_bit | log2_64_bit << 8;
}

/// Leaf 12H, subleaf 2 and up: an EPC section with confidentiality and integrity.
constexpr CpuidRegisters cpuid_epc_section(u64 base, u64 size) {
    return {static_cast<u32>(base & 0xffff'f000) | 1, static_cast<u32>(bits<51, 32>(base)),
            static_cast<u32>(size & 0xffff'f000) | 1, static_cast<u32>(bits<51, 32>(size))};
}

struct EpcSection {
    u64 base;
    u64 size;
};

constexpr bool is_epc_section(const CpuidRegisters& leaf) { return (leaf.eax & 0xf) == 1; }

constexpr EpcSection epc_section(const CpuidRegisters& leaf) {
    return {u64{leaf.eax & 0xffff'f000} | bits<19, 0>(leaf.ebx) << 32,
            u64{leaf.ecx & 0xffff'f000} | bits<19, 0>(leaf.edx) << 32};
}

/// Four characters as a register holds them.
constexpr u32 cpuid_text(std::string_view four) {
    u32 word = 0;
    for (unsigned i = 0; i < 4 && i < four.size(); ++i)
        word |= static_cast<u32>(static_cast<u8>(four[i])) << (8 * i);
    return word;
}

/// Leaf 0. `vendor` has 12 characters.
constexpr CpuidRegisters cpuid_vendor(u32 highest_leaf, std::string_view vendor) {
    return {highest_leaf, cpuid_text(vendor.substr(0, 4)), cpuid_text(vendor.substr(8, 4)),
            cpuid_text(vendor.substr(4, 4))};
}

/// EAX of leaf 1, of a family 6 part.
constexpr u32 cpuid_version(unsigned model, unsigned stepping) {
    return (model >> 4) << 16 | 6u << 8 | (model & 0xf) << 4 | stepping;
}

/// EAX of leaf 80000008H.
constexpr u32 cpuid_address_sizes(unsigned physical_bits, unsigned linear_bits) {
    return physical_bits | linear_bits << 8;
}

}  // namespace postern
