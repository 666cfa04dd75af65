// SPDX-License-Identifier: Apache-2.0
// SGX numbers: leaves, errors, flags, EXITINFO, synthetic state, measurement blocks.
#include <gtest/gtest.h>

#include <set>

#include "arch/regs/rflags.h"
#include "arch/sgx/error.h"
#include "arch/sgx/keyrequest.h"
#include "arch/sgx/leaf.h"
#include "arch/sgx/measurement.h"
#include "arch/sgx/ssa.h"
#include "arch/sgx/tcs.h"

namespace postern {
namespace {

static_assert(SgxAttributeFlags{SgxAttribute::init}.to_raw() == 0x1);
static_assert(SgxAttributeFlags{SgxAttribute::debug}.to_raw() == 0x2);
static_assert(SgxAttributeFlags{SgxAttribute::mode64bit}.to_raw() == 0x4);
static_assert(SgxAttributeFlags{SgxAttribute::provisionkey}.to_raw() == 0x10);
static_assert(SgxAttributeFlags{SgxAttribute::einittoken_key}.to_raw() == 0x20);
static_assert(SgxAttributeFlags{SgxAttribute::cet}.to_raw() == 0x40);
static_assert(SgxAttributeFlags{SgxAttribute::kss}.to_raw() == 0x80);
static_assert(SgxAttributeFlags{SgxAttribute::aexnotify}.to_raw() == 0x400);
static_assert(sgx_attribute_reserved == 0xffff'ffff'ffff'fb08);
static_assert(controlled_attributes.to_raw() == 0x20);

static_assert(TcsFlags{TcsFlag::dbgoptin}.to_raw() == 1);
static_assert(TcsFlags{TcsFlag::aexnotify}.to_raw() == 2);
static_assert(static_cast<u16>(KeyName::seal_key) == 4);
static_assert(KeyPolicyWord{KeyPolicy::mrsigner}.to_raw() == 2);

static_assert(SecinfoFlags{SecinfoFlag::r, SecinfoFlag::w, SecinfoFlag::x}.to_raw() == 7);
static_assert(SecinfoFlags{SecinfoFlag::pending}.to_raw() == 0x08);
static_assert(SecinfoFlags{SecinfoFlag::modified}.to_raw() == 0x10);
static_assert(SecinfoFlags{SecinfoFlag::pr}.to_raw() == 0x20);
static_assert(with_page_type({SecinfoFlag::r}, PageType::reg).to_raw() == 0x201);
static_assert(page_type(SecinfoFlags::from_raw(0x107)) == PageType::tcs);
static_assert(page_type(SecinfoFlags::from_raw(0x400)) == PageType::trim);
static_assert(name_of(PageType::ss_rest) == "PT_SS_REST" && name_of(PageType{9}) == "unknown");

static_assert(static_cast<u32>(EnclsLeaf::ecreate) == 0x0);
static_assert(static_cast<u32>(EnclsLeaf::einit) == 0x2);
static_assert(static_cast<u32>(EnclsLeaf::eextend) == 0x6);
static_assert(static_cast<u32>(EnclsLeaf::ewb) == 0xb);
static_assert(static_cast<u32>(EnclsLeaf::emodt) == 0xf);
static_assert(static_cast<u32>(EnclsLeaf::elduc) == 0x13);
static_assert(static_cast<u32>(EnclsLeaf::eupdatesvn) == 0x18);
static_assert(static_cast<u32>(EncluLeaf::eenter) == 0x2);
static_assert(static_cast<u32>(EncluLeaf::eresume) == 0x3);
static_assert(static_cast<u32>(EncluLeaf::eexit) == 0x4);
static_assert(static_cast<u32>(EncluLeaf::edeccssa) == 0x9);
static_assert(static_cast<u32>(EnclvLeaf::esetcontext) == 0x2);
static_assert(name_of(EnclsLeaf::eextend) == "EEXTEND" && name_of(EnclsLeaf{0x14}) == "unknown");
static_assert(name_of(EncluLeaf::eresume) == "ERESUME");

static_assert(static_cast<u32>(SgxError::invalid_sig_struct) == 1);
static_assert(static_cast<u32>(SgxError::epc_page_conflict) == 7);
static_assert(static_cast<u32>(SgxError::child_present) == 13);
static_assert(static_cast<u32>(SgxError::enclave_act) == 14);
static_assert(static_cast<u32>(SgxError::invalid_einittoken) == 16);
static_assert(static_cast<u32>(SgxError::page_attributes_mismatch) == 19);
static_assert(static_cast<u32>(SgxError::pg_nonepc) == 26);
static_assert(static_cast<u32>(SgxError::invalid_cpusvn) == 32);
static_assert(static_cast<u32>(SgxError::invalid_isvsvn) == 64);
static_assert(static_cast<u32>(SgxError::unmasked_event) == 128);
static_assert(static_cast<u32>(SgxError::invalid_keyname) == 256);

TEST(SyntheticState, ClearsTheStatusFlagsAndRfAndNothingElse) {
    const Rflags cleared = Rflags::from_raw(synthetic::rflags_cleared);
    EXPECT_EQ(cleared, (Rflags{Rflag::cf, Rflag::pf, Rflag::af, Rflag::zf, Rflag::sf, Rflag::of,
                               Rflag::rf}));
    EXPECT_EQ(synthetic::rax, 3u);
    EXPECT_EQ(synthetic::mxcsr, 0x1fb0u);
    EXPECT_EQ(synthetic::mxcsr_on_xm, 0x1f01u);
    EXPECT_EQ(synthetic::fcw, 0x37f);
    EXPECT_EQ(synthetic::fcw_on_mf, 0x37e);
    EXPECT_EQ(synthetic::fsw_on_mf, 0x8081);
}

TEST(Exitinfo, IsThreeFieldsOfAWord) {
    constexpr Exitinfo info{Vector::invalid_opcode, ExitinfoType::hardware};
    EXPECT_EQ(info.to_raw(), 0x8000'0306u);
    EXPECT_EQ(Exitinfo::from_raw(0x8000'0603).vector(), 3);
    EXPECT_EQ(Exitinfo::from_raw(0x8000'0603).type(), ExitinfoType::software);
    EXPECT_TRUE(Exitinfo::from_raw(0x8000'0603).valid());
    EXPECT_FALSE(Exitinfo{}.valid());
}

TEST(Exitinfo, OnlyTheListedVectorsAreRecorded) {
    const std::set<unsigned> always{0, 1, 3, 5, 6, 16, 17, 19};
    for (unsigned number = 0; number < 256; ++number) {
        const auto vector = static_cast<Vector>(number);
        const bool with_exinfo = always.contains(number) || number == 13 || number == 14;
        EXPECT_EQ(exitinfo_of(vector, {}).valid(), always.contains(number)) << number;
        EXPECT_EQ(exitinfo_of(vector, {SgxMiscselect::exinfo}).valid(), with_exinfo) << number;
        EXPECT_EQ(exitinfo_of(vector, {SgxMiscselect::cpinfo}).valid(),
                  always.contains(number) || number == 21)
            << number;
        if (!exitinfo_of(vector, {}).valid()) {
            EXPECT_EQ(exitinfo_of(vector, {}).to_raw(), 0u);
        }
    }
}

TEST(Exitinfo, ABreakpointIsTheOnlySoftwareException) {
    EXPECT_EQ(exitinfo_of(Vector::breakpoint, {}).to_raw(), 0x8000'0603u);
    EXPECT_EQ(exitinfo_of(Vector::debug, {}).to_raw(), 0x8000'0301u);
    EXPECT_EQ(exitinfo_of(Vector::page_fault, {SgxMiscselect::exinfo}).to_raw(), 0x8000'030eu);
}

TEST(SsaFrame, GprsgxEndsItAndExinfoIsBelow) {
    EXPECT_EQ(gprsgx_size, 184u);
    EXPECT_EQ(gprsgx_offset(4096), 3912u);
    EXPECT_EQ(exinfo_offset(4096), 3896u);
    EXPECT_EQ(ssa_frame_minimum(576, {}), 760u);
    EXPECT_EQ(ssa_frame_minimum(832, {SgxMiscselect::exinfo}), 1032u);
}

TEST(Measurement, AnEcreateBlockHasSizesAtUnalignedPlaces) {
    const MeasurementBlock block = ecreate_block(1, 0x1'0000);
    const MeasurementBlock expected{0x45, 0x43, 0x52, 0x45, 0x41, 0x54, 0x45, 0x00,  // ECREATE
                                    0x01, 0x00, 0x00, 0x00,                          // SSAFRAMESIZE
                                    0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00};  // SIZE
    EXPECT_EQ(block, expected);
    EXPECT_EQ(ecreate_block(1, 0x1'0000, 0x1122)[20], 0x22);
}

TEST(Measurement, AnEaddBlockHasOffsetAndSecinfo) {
    const Secinfo secinfo{with_page_type({SecinfoFlag::r, SecinfoFlag::x}, PageType::reg), {}};
    const MeasurementBlock expected{0x45, 0x41, 0x44, 0x44, 0x00, 0x00, 0x00, 0x00,  // EADD
                                    0x00, 0x30, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // offset
                                    0x05, 0x02};                                     // FLAGS
    EXPECT_EQ(eadd_block(0x3000, secinfo), expected);
}

TEST(Measurement, AnEaddBlockTakesFortyEightBytesOfSecinfo) {
    Secinfo secinfo{};
    secinfo.reserved_8[39] = 0x77;  // byte 47: the last that is measured
    secinfo.reserved_8[40] = 0x88;
    const MeasurementBlock block = eadd_block(0, secinfo);
    EXPECT_EQ(block[63], 0x77);
    EXPECT_EQ(block[62], 0);
}

TEST(Measurement, AnEextendBlockHasTheChunksOffset) {
    const MeasurementBlock expected{0x45, 0x45, 0x58, 0x54, 0x45, 0x4e, 0x44, 0x00,  // EEXTEND
                                    0x00, 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
    EXPECT_EQ(eextend_block(0x1200), expected);
}

TEST(Secinfo, ReservedBitsAreSeen) {
    Secinfo secinfo{};
    EXPECT_TRUE(secinfo.reserved_is_zero());
    secinfo.flags = SecinfoFlags::from_raw(0x023f);
    EXPECT_TRUE(secinfo.reserved_is_zero());
    secinfo.flags = SecinfoFlags::from_raw(0x0240);
    EXPECT_FALSE(secinfo.reserved_is_zero());
    secinfo.flags = SecinfoFlags::from_raw(0x1'0200);
    EXPECT_FALSE(secinfo.reserved_is_zero());
    secinfo.flags = {};
    secinfo.reserved_8[55] = 1;
    EXPECT_FALSE(secinfo.reserved_is_zero());
}

}  // namespace
}  // namespace postern
