// SPDX-License-Identifier: Apache-2.0
// Register bits against masks copied by hand, debug-register fields, XCR0's rules.
#include <gtest/gtest.h>

#include "arch/msr.h"
#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"
#include "arch/regs/dr6.h"
#include "arch/regs/dr7.h"
#include "arch/regs/efer.h"
#include "arch/regs/gpr.h"
#include "arch/regs/rflags.h"
#include "arch/regs/xcr0.h"

namespace postern {
namespace {

// ModRM order, not alphabetical.
static_assert(rax == 0 && rcx == 1 && rdx == 2 && rbx == 3);
static_assert(rsp == 4 && rbp == 5 && rsi == 6 && rdi == 7 && r8 == 8 && r15 == 15);
static_assert(name_of(rbx) == "rbx" && name_of(r8) == "r8" && name_of(r15) == "r15");

static_assert(rflags_status_mask == 0x8d5);
static_assert(rflags_defined_mask == 0x3f'7fd5);
static_assert(Rflags{Rflag::if_}.to_raw() == 0x200);
static_assert(Rflags{Rflag::tf}.to_raw() == 0x100);
static_assert(Rflags{Rflag::rf}.to_raw() == 0x1'0000);
static_assert(iopl(Rflags::from_raw(0x3002)) == 3);
static_assert(iopl(Rflags::from_raw(0x1002)) == 1);

static_assert(Cr0Word{Cr0::pe, Cr0::ne, Cr0::pg}.to_raw() == 0x8000'0021);
static_assert(Cr0Word{Cr0::wp, Cr0::am}.to_raw() == 0x5'0000);
static_assert(cr0_defined_mask == 0xe005'003f);

static_assert(Cr4Word{Cr4::pae}.to_raw() == 0x20);
static_assert(Cr4Word{Cr4::osfxsr, Cr4::osxmmexcpt}.to_raw() == 0x600);
static_assert(Cr4Word{Cr4::la57}.to_raw() == 0x1000);
static_assert(Cr4Word{Cr4::vmxe}.to_raw() == 0x2000);
static_assert(Cr4Word{Cr4::fsgsbase, Cr4::pcide, Cr4::osxsave}.to_raw() == 0x7'0000);
static_assert(Cr4Word{Cr4::smep, Cr4::smap}.to_raw() == 0x30'0000);
static_assert(Cr4Word{Cr4::pke, Cr4::cet, Cr4::pks, Cr4::uintr}.to_raw() == 0x3c0'0000);
static_assert(Cr4Word{Cr4::fred}.to_raw() == 0x1'0000'0000);

static_assert(efer_defined_mask == 0xd01);
static_assert(EferWord{Efer::lme, Efer::lma}.to_raw() == 0x500);

static_assert(dr6_writable_mask == 0xe00f);
static_assert(Dr6Word{Dr6::bs}.to_raw() == 0x4000);

static_assert(static_cast<u32>(Msr::feature_control) == 0x3a);
static_assert(static_cast<u32>(Msr::sgxlepubkeyhash0) == 0x8c);
static_assert(static_cast<u32>(Msr::sgxlepubkeyhash3) == 0x8f);
static_assert(static_cast<u32>(Msr::sysenter_cs) == 0x174);
static_assert(static_cast<u32>(Msr::pat) == 0x277);
static_assert(static_cast<u32>(Msr::vmx_basic) == 0x480);
static_assert(static_cast<u32>(Msr::vmx_ept_vpid_cap) == 0x48c);
static_assert(static_cast<u32>(Msr::vmx_true_entry_ctls) == 0x490);
static_assert(static_cast<u32>(Msr::vmx_exit_ctls2) == 0x493);
static_assert(static_cast<u32>(Msr::sgx_svn_status) == 0x500);
static_assert(static_cast<u32>(Msr::tsc_deadline) == 0x6e0);
static_assert(static_cast<u32>(Msr::x2apic_lvt_timer) == 0x832);
static_assert(static_cast<u32>(Msr::xss) == 0xda0);
static_assert(static_cast<u32>(Msr::efer) == 0xc000'0080);
static_assert(static_cast<u32>(Msr::kernel_gs_base) == 0xc000'0102);
static_assert(static_cast<u32>(Msr::tsc_aux) == 0xc000'0103);

// Locked, VMX outside SMX, SGX launch control and SGX on: as a BIOS leaves it.
static_assert(FeatureControlWord{FeatureControl::lock, FeatureControl::vmx_outside_smx,
                                 FeatureControl::sgx_lc, FeatureControl::sgx_enable}
                  .to_raw() == 0x6'0005);

TEST(Dr7, BreakpointsAreDecoded) {
    // Breakpoint 0: write, 8 bytes, local. Breakpoint 3: execution, 1 byte, global.
    constexpr auto dr7 = Dr7Word::from_raw(dr7_reset | 0x0009'0081);
    EXPECT_TRUE(breakpoint_enabled(dr7, 0));
    EXPECT_FALSE(breakpoint_enabled(dr7, 1));
    EXPECT_FALSE(breakpoint_enabled(dr7, 2));
    EXPECT_TRUE(breakpoint_enabled(dr7, 3));
    EXPECT_EQ(breakpoint_kind(dr7, 0), BreakpointKind::write);
    EXPECT_EQ(breakpoint_length(dr7, 0), 8u);
    EXPECT_EQ(breakpoint_kind(dr7, 3), BreakpointKind::execution);
    EXPECT_EQ(breakpoint_length(dr7, 3), 1u);
}

TEST(Dr7, LengthThreeIsFourBytesAndOneIsTwo) {
    EXPECT_EQ(breakpoint_length(Dr7Word::from_raw(0x00c0'0000), 1), 4u);
    EXPECT_EQ(breakpoint_length(Dr7Word::from_raw(0x0040'0000), 1), 2u);
}

TEST(Xcr0, LegalCombinations) {
    constexpr Xcr0Word all = Xcr0Word::from_raw(0x6'02ff);
    const auto legal = [all](u64 raw) { return is_legal_xcr0(Xcr0Word::from_raw(raw), all); };
    EXPECT_TRUE(legal(0x1));
    EXPECT_TRUE(legal(0x3));
    EXPECT_TRUE(legal(0x7));
    EXPECT_TRUE(legal(0xe7));
    EXPECT_TRUE(legal(0x207));
    EXPECT_FALSE(legal(0x0));  // x87 must be set
    EXPECT_FALSE(legal(0x2));
    EXPECT_FALSE(legal(0x5));       // AVX without SSE
    EXPECT_FALSE(legal(0x67));      // one AVX-512 component missing
    EXPECT_FALSE(legal(0xe3));      // AVX-512 without AVX
    EXPECT_FALSE(legal(0xb));       // one MPX component of two
    EXPECT_FALSE(legal(0x2'0003));  // one AMX component of two
    EXPECT_FALSE(legal(0x403));     // not supported
    EXPECT_FALSE(is_legal_xcr0(Xcr0Word::from_raw(7), Xcr0Word::from_raw(3)));
}

TEST(Pat, EachByteIsChecked) {
    EXPECT_TRUE(is_valid_pat(pat_reset));
    EXPECT_TRUE(is_valid_pat(0x0705'0401'0607'0600));
    EXPECT_FALSE(is_valid_pat(0x0007'0406'0007'0402));
    EXPECT_FALSE(is_valid_pat(0x0307'0406'0007'0406));
    EXPECT_FALSE(is_valid_pat(0x0007'0806'0007'0406));
}

}  // namespace
}  // namespace postern
