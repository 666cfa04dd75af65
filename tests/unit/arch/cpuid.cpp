// SPDX-License-Identifier: Apache-2.0
// CPUID bits against masks copied by hand, and the helpers that compose registers.
#include "arch/cpuid.h"

#include <gtest/gtest.h>

namespace postern {
namespace {

static_assert(Cpuid1EcxWord{Cpuid1Ecx::vmx}.to_raw() == 0x20);
static_assert(Cpuid1EcxWord{Cpuid1Ecx::xsave, Cpuid1Ecx::osxsave}.to_raw() == 0x0c00'0000);
static_assert(Cpuid1EcxWord{Cpuid1Ecx::aesni, Cpuid1Ecx::pclmulqdq}.to_raw() == 0x0200'0002);
static_assert(Cpuid1EcxWord{Cpuid1Ecx::hypervisor}.to_raw() == 0x8000'0000);
static_assert(Cpuid1EdxWord{Cpuid1Edx::sse, Cpuid1Edx::sse2}.to_raw() == 0x0600'0000);
static_assert(Cpuid1EdxWord{Cpuid1Edx::apic, Cpuid1Edx::sep}.to_raw() == 0xa00);
static_assert(Cpuid7EbxWord{Cpuid7Ebx::sgx}.to_raw() == 0x4);
static_assert(Cpuid7EbxWord{Cpuid7Ebx::smep, Cpuid7Ebx::smap}.to_raw() == 0x10'0080);
static_assert(Cpuid7EcxWord{Cpuid7Ecx::sgx_lc}.to_raw() == 0x4000'0000);
static_assert(Cpuid7EcxWord{Cpuid7Ecx::waitpkg, Cpuid7Ecx::umip}.to_raw() == 0x24);
static_assert(Cpuid7EdxWord{Cpuid7Edx::sgx_keys}.to_raw() == 0x2);
static_assert(Cpuid7EdxWord{Cpuid7Edx::arch_capabilities}.to_raw() == 0x2000'0000);
static_assert(CpuidExtEdxWord{CpuidExtEdx::syscall, CpuidExtEdx::execute_disable,
                              CpuidExtEdx::page_1gb, CpuidExtEdx::rdtscp, CpuidExtEdx::intel64}
                  .to_raw() == 0x2c10'0800);
static_assert(
    CpuidSgxEaxWord{CpuidSgxEax::sgx1, CpuidSgxEax::sgx2, CpuidSgxEax::edeccssa}.to_raw() == 0x803);
static_assert(static_cast<u32>(CpuidLeaf::sgx) == 0x12);

TEST(Cpuid, TheVendorIsSpreadOverThreeRegisters) {
    constexpr auto leaf = cpuid_vendor(0x1f, "GenuineIntel");
    EXPECT_EQ(leaf, (CpuidRegisters{0x1f, 0x756e'6547, 0x6c65'746e, 0x4965'6e69}));
}

TEST(Cpuid, AnEpcSectionSurvivesTheWayThereAndBack) {
    constexpr auto leaf = cpuid_epc_section(0x12'3456'7000, 0x1'0800'0000);
    EXPECT_EQ(leaf, (CpuidRegisters{0x3456'7001, 0x12, 0x0800'0001, 0x1}));
    EXPECT_TRUE(is_epc_section(leaf));
    EXPECT_EQ(epc_section(leaf).base, 0x12'3456'7000u);
    EXPECT_EQ(epc_section(leaf).size, 0x1'0800'0000u);
    EXPECT_FALSE(is_epc_section(CpuidRegisters{}));
}

TEST(Cpuid, VersionAndSizes) {
    EXPECT_EQ(cpuid_version(0x6a, 6), 0x6'06a6u);  // Ice Lake-SP
    EXPECT_EQ(cpuid_address_sizes(46, 48), 0x302eu);
    EXPECT_EQ(cpuid_sgx_maximum_sizes(31, 56), 0x381fu);
}

}  // namespace
}  // namespace postern
