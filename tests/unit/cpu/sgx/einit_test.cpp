// SPDX-License-Identifier: Apache-2.0
// ENCLS[EINIT]: measurement and signature, and every check violated alone. The expected
// MRENCLAVE is hashed in the fixture from blocks written there.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "arch/vmx/controls.h"
#include "cpu/flags.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

Sigstruct& sigstruct(EnclaveMachine& m) { return m.at<Sigstruct>(sigstruct_at); }

/// One interrupt of vector 40H is pending.
struct OneInterrupt final : InterruptController {
    int pending_vector(u64) override { return 0x40; }
    void acknowledge(u8) override {}
    void end_of_interrupt() override {}
    u64 next_event() const override { return ~u64{0}; }
    u8 task_priority() const override { return 0; }
    void set_task_priority(u8) override {}
    u64 read_msr(u32, u64, bool&) override { return 0; }
    bool write_msr(u32, u64, u64) override { return false; }
};

TEST(Einit, InitialisesAnEnclaveWhoseMeasurementAndSignatureAreRight) {
    EnclaveMachine m;
    m.build();
    m.prepare_einit();
    set_rflags(m.c, rflags(m.c) | rflags_status_mask);
    ASSERT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_EQ(rflags(m.c) & rflags_status_mask, 0u);
    EXPECT_TRUE(m.secs().attributes.flags.has(SgxAttribute::init));
    EXPECT_EQ(m.secs().mrenclave, m.expected_mrenclave());
    EXPECT_EQ(std::memcmp(m.secs().mrsigner.data(), signer_hash().data(), 32), 0);
    EXPECT_EQ(m.secs().isvprodid, 0x1234u);
    EXPECT_EQ(m.secs().isvsvn, 7u);
}

TEST(Einit, NeedsNoInterruptController) {
    EnclaveMachine m;
    m.build();
    m.prepare_einit();
    m.c.flags.set(Rflag::if_);
    ASSERT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
}

TEST(Einit, MeasuresEveryEextendInOrder) {
    EnclaveMachine m;
    m.build();
    m.prepare_einit();
    ASSERT_TRUE(m.eextend(data_page, 0).ok());
    ASSERT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.gpr[rax], static_cast<u64>(SgxError::invalid_measurement));
}

TEST(Einit, TakesIntelsVendorNumber) {
    EnclaveMachine m;
    m.build();
    m.prepare_einit();
    sigstruct(m).vendor = 0x8086;
    sign(sigstruct(m));
    ASSERT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
}

TEST(Einit, TakesFamilyAndProductWithKss) {
    EnclaveMachine m;
    m.build();
    m.secs().attributes.flags.set(SgxAttribute::kss);
    m.prepare_einit();
    sigstruct(m).attributes.flags.set(SgxAttribute::kss);
    sigstruct(m).isvfamilyid[0] = 1;
    sigstruct(m).isvextprodid[0] = 2;
    sign(sigstruct(m));
    ASSERT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_EQ(m.epc.hidden(secs_page).isvfamilyid[0], 1);
    EXPECT_EQ(m.epc.hidden(secs_page).isvextprodid[0], 2);
}

struct Refusal {
    const char* name;
    void (*arrange)(EnclaveMachine&);
    SgxError status;
    bool resign = false;  // the signature covers what was changed
};

class EinitRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(EinitRefusal, ReportsTheErrorWithZfAndChangesNothingElse) {
    EnclaveMachine m;
    m.build();
    m.prepare_einit();
    m.c.gpr[rax] = static_cast<u64>(EnclsLeaf::einit);
    m.c.gpr[rbx] = sigstruct_at;
    m.c.gpr[rcx] = window_of(secs_page);
    m.c.gpr[rdx] = token_at;
    GetParam().arrange(m);
    if (GetParam().resign) sign(sigstruct(m));
    State before{m};
    set_rflags(m.c, rflags(m.c) | rflags_status_mask);
    ASSERT_TRUE(sgx::encls(m.c).ok());
    EXPECT_EQ(m.c.gpr[rax], static_cast<u64>(GetParam().status));
    EXPECT_EQ(rflags(m.c) & rflags_status_mask, Rflags{Rflag::zf}.to_raw());
    EXPECT_FALSE(m.secs().attributes.flags.has(SgxAttribute::init));
    const State after{m};
    EXPECT_TRUE(after.pages == before.pages && after.entries == before.entries);
}

constexpr Refusal refusals[] = {
    {"Header", [](EnclaveMachine& m) { sigstruct(m).header[4] ^= 1; }, SgxError::invalid_sig_struct,
     true},
    {"Vendor", [](EnclaveMachine& m) { sigstruct(m).vendor = 1; }, SgxError::invalid_sig_struct,
     true},
    {"Header2", [](EnclaveMachine& m) { sigstruct(m).header2[15] = 1; },
     SgxError::invalid_sig_struct, true},
    {"Exponent", [](EnclaveMachine& m) { sigstruct(m).exponent = 0x1'0001; },
     SgxError::invalid_sig_struct},
    {"ReservedAt44", [](EnclaveMachine& m) { sigstruct(m).reserved_44[83] = 1; },
     SgxError::invalid_sig_struct, true},
    {"ReservedAt910", [](EnclaveMachine& m) { sigstruct(m).reserved_910[0] = 1; },
     SgxError::invalid_sig_struct, true},
    {"ReservedAt992", [](EnclaveMachine& m) { sigstruct(m).reserved_992[0] = 1; },
     SgxError::invalid_sig_struct, true},
    {"ReservedAt1028", [](EnclaveMachine& m) { sigstruct(m).reserved_1028[11] = 1; },
     SgxError::invalid_sig_struct},
    {"PendingNmi", [](EnclaveMachine& m) { m.c.event.nmi_pending = true; },
     SgxError::unmasked_event},
    {"PendingInterrupt",
     [](EnclaveMachine& m) {
         static OneInterrupt controller;
         m.c.interrupts = &controller;
         m.c.flags.set(Rflag::if_);
     },
     SgxError::unmasked_event},
    {"PendingInterruptThatExitsWhateverIfSays",
     [](EnclaveMachine& m) {
         static OneInterrupt controller;
         m.c.interrupts = &controller;
         m.c.vmx.non_root = true;
         m.c.vmx.vmcs.set<VmcsField::pin_based_controls>(1);
     },
     SgxError::unmasked_event},
    {"PendingNmiThatVirtualNmiBlockingDoesNotHold",
     [](EnclaveMachine& m) {
         m.c.event.nmi_pending = true;
         m.c.event.blocking = {Interruptibility::nmi};
         m.c.vmx.non_root = true;
         m.c.vmx.vmcs.set<VmcsField::pin_based_controls>(1u << 5);
     },
     SgxError::unmasked_event},
    {"ExpiredPreemptionTimerInAnInterruptShadow",
     [](EnclaveMachine& m) {
         m.c.event.blocking = {Interruptibility::sti};
         m.c.vmx.non_root = true;
         m.c.vmx.preemption_deadline = now(m.c);
     },
     SgxError::unmasked_event},
    {"SignedByteChanged", [](EnclaveMachine& m) { sigstruct(m).date ^= 1; },
     SgxError::invalid_signature},
    {"LastSignedByteChanged", [](EnclaveMachine& m) { sigstruct(m).isvsvn ^= 0x100; },
     SgxError::invalid_signature},
    {"SignatureChanged", [](EnclaveMachine& m) { sigstruct(m).signature[0] ^= 1; },
     SgxError::invalid_signature},
    {"ModulusChanged", [](EnclaveMachine& m) { sigstruct(m).modulus[8] ^= 2; },
     SgxError::invalid_signature},
    {"ModulusZero", [](EnclaveMachine& m) { sigstruct(m).modulus = {}; },
     SgxError::invalid_signature},
    {"Q1", [](EnclaveMachine& m) { sigstruct(m).q1[0] ^= 1; }, SgxError::invalid_signature},
    {"Q2", [](EnclaveMachine& m) { sigstruct(m).q2[0] ^= 1; }, SgxError::invalid_signature},
    {"FamilyWithoutKss", [](EnclaveMachine& m) { sigstruct(m).isvfamilyid[15] = 1; },
     SgxError::invalid_sig_struct, true},
    {"ExtendedProductWithoutKss", [](EnclaveMachine& m) { sigstruct(m).isvextprodid[0] = 1; },
     SgxError::invalid_sig_struct, true},
    {"Measurement", [](EnclaveMachine& m) { sigstruct(m).enclavehash[0] ^= 1; },
     SgxError::invalid_measurement, true},
    {"ControlledAttributeForAnotherSigner",
     [](EnclaveMachine& m) {
         m.secs().attributes.flags.set(SgxAttribute::einittoken_key);
         sigstruct(m).attributes.flags.set(SgxAttribute::einittoken_key);
         m.c.msr.sgx_le_pubkey_hash[3] ^= 1;
     },
     SgxError::invalid_attribute, true},
    {"AttributesDiffer",
     [](EnclaveMachine& m) { sigstruct(m).attributes.flags.set(SgxAttribute::debug, false); },
     SgxError::invalid_attribute, true},
    {"XfrmDiffers", [](EnclaveMachine& m) { sigstruct(m).attributes.xfrm.set(Xcr0::avx); },
     SgxError::invalid_attribute, true},
    {"MiscselectDiffers", [](EnclaveMachine& m) { sigstruct(m).miscselect = {}; },
     SgxError::invalid_attribute, true},
    {"NoTokenAndAnotherSigner", [](EnclaveMachine& m) { m.c.msr.sgx_le_pubkey_hash[0] ^= 1; },
     SgxError::invalid_einittoken},
};

INSTANTIATE_TEST_SUITE_P(Einit, EinitRefusal, testing::ValuesIn(refusals),
                         [](const auto& test) { return std::string{test.param.name}; });

/// What EINIT answers to a SIGSTRUCT that is right but for one bit of this byte.
u64 answer_to_flip(EnclaveMachine& m, size_t byte) {
    u8& flipped = m.at<u8>(sigstruct_at + byte);
    flipped ^= 1;
    EXPECT_TRUE(m.einit().ok());
    flipped ^= 1;
    return m.c.gpr[rax];
}

TEST(Einit, EveryByteOfTheSigstructCounts) {
    struct Bytes {
        size_t first;
        size_t end;
        u64 status;  // 1: SGX_INVALID_SIG_STRUCT, 8: SGX_INVALID_SIGNATURE
    };
    constexpr Bytes layout[] = {
        {0, 20, 1},       // HEADER, VENDOR
        {20, 24, 8},      // DATE
        {24, 40, 1},      // HEADER2
        {40, 44, 8},      // SWDEFINED
        {44, 128, 1},     // reserved
        {128, 512, 8},    // MODULUS
        {512, 516, 1},    // EXPONENT
        {516, 908, 8},    // SIGNATURE, MISCSELECT, MISCMASK
        {908, 912, 1},    // CET's two bytes, reserved
        {912, 992, 8},    // ISVFAMILYID, ATTRIBUTES, ATTRIBUTEMASK, ENCLAVEHASH
        {992, 1008, 1},   // reserved
        {1008, 1028, 8},  // ISVEXTPRODID, ISVPRODID, ISVSVN
        {1028, 1040, 1},  // reserved
        {1040, 1808, 8},  // Q1, Q2
    };
    EnclaveMachine m;
    m.build();
    m.prepare_einit();
    size_t next = 0;
    for (const Bytes& part : layout) {
        ASSERT_EQ(part.first, next);
        for (; next < part.end; ++next) EXPECT_EQ(answer_to_flip(m, next), part.status) << next;
    }
    ASSERT_EQ(next, 1808u);
    ASSERT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
}

TEST(Einit, ASigstructIsNothingInAnothersSignature) {
    EnclaveMachine m;
    m.build();
    m.prepare_einit();
    Sigstruct other = sigstruct(m);
    sign(other, launch_signing_key);
    sigstruct(m).modulus = other.modulus;
    ASSERT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.gpr[rax], 8u);
}

TEST(Einit, GivesAControlledAttributeToTheLaunchSigner) {
    EnclaveMachine m;
    m.build();
    m.secs().attributes.flags.set(SgxAttribute::einittoken_key);
    m.prepare_einit();
    sigstruct(m).attributes.flags.set(SgxAttribute::einittoken_key);
    sign(sigstruct(m));
    ASSERT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_TRUE(m.secs().attributes.flags.has(SgxAttribute::einittoken_key));
}

TEST(Einit, LeavesTheProvisioningAttributeToTheOperatingSystem) {
    EnclaveMachine m;
    m.build();
    m.secs().attributes.flags.set(SgxAttribute::provisionkey);
    m.prepare_einit();
    sigstruct(m).attributes.flags.set(SgxAttribute::provisionkey);
    sign(sigstruct(m));
    ASSERT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
}

TEST(Einit, FindsAConflictWhereItLooksForEvents) {
    EnclaveMachine m;
    m.build();
    m.prepare_einit();
    m.epc.conflicts.rate[2] = Conflicts::always;
    const State before{m};
    ASSERT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.gpr[rax], 128u);
    EXPECT_EQ(rflags(m.c) & rflags_status_mask, 0x40u);
    EXPECT_TRUE(State{m}.pages == before.pages);
    EXPECT_EQ(answer_to_flip(m, 0), 1u);       // not well formed: comes first
    EXPECT_EQ(answer_to_flip(m, 1040), 128u);  // not signed: comes after
    m.epc.conflicts.rate[2] = 0;
    ASSERT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
}

TEST(Einit, HappensOnce) {
    EnclaveMachine m;
    m.build();
    m.prepare_einit();
    ASSERT_TRUE(m.einit().ok());
    ASSERT_EQ(m.c.gpr[rax], 0u);
    const State before{m};
    EXPECT_FALSE(m.einit().ok());
    EXPECT_EQ(pending_fault(m.c), gp0);
    EXPECT_TRUE(State{m}.pages == before.pages);
}

TEST(Einit, MaskedOutAttributesAndMiscselectAreNotCompared) {
    EnclaveMachine m;
    m.build();
    m.prepare_einit();
    Sigstruct& s = sigstruct(m);
    s.attributes.flags.set(SgxAttribute::debug, false);
    s.attributemask.flags.set(SgxAttribute::debug, false);
    s.miscselect = {};
    s.miscmask = {};
    sign(s);
    ASSERT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
}

TEST(Einit, EventsBehindAnInterruptShadowOrMaskedDoNotCount) {
    OneInterrupt controller;
    EnclaveMachine m;
    m.build();
    m.prepare_einit();
    m.c.interrupts = &controller;
    m.c.event.nmi_pending = true;
    m.c.event.blocking = {Interruptibility::nmi};  // and IF is 0
    ASSERT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);

    EnclaveMachine n;
    n.build();
    n.prepare_einit();
    n.c.interrupts = &controller;
    n.c.flags.set(Rflag::if_);
    n.c.event.blocking = {Interruptibility::sti};
    ASSERT_TRUE(n.einit().ok());
    EXPECT_EQ(n.c.gpr[rax], 0u);
}

class EinitViolation : public testing::TestWithParam<Violation> {};

TEST_P(EinitViolation, FaultsAndChangesNothing) {
    EnclaveMachine m;
    m.build();
    m.prepare_einit();
    m.c.gpr[rax] = static_cast<u64>(EnclsLeaf::einit);
    m.c.gpr[rbx] = sigstruct_at;
    m.c.gpr[rcx] = window_of(secs_page);
    m.c.gpr[rdx] = token_at;
    GetParam().arrange(m);
    const State before{m};
    EXPECT_FALSE(sgx::encls(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), GetParam().fault);
    EXPECT_TRUE(State{m} == before);
}

constexpr u32 write_fault = sgx_fault(true, false);

constexpr Violation violations[] = {
    {"SigstructNotAligned",
     [](EnclaveMachine& m) {
         std::memmove(&m.at<u8>(sigstruct_at + 0x200), &sigstruct(m), sizeof(Sigstruct));
         m.c.gpr[rbx] += 0x200;
     },
     gp0},
    {"SecsNotAligned", [](EnclaveMachine& m) { m.c.gpr[rcx] += 0x200; }, gp0},
    {"TokenNotAlignedTo512", [](EnclaveMachine& m) { m.c.gpr[rdx] += 0x100; }, gp0},
    {"SecsNotInTheEpc", [](EnclaveMachine& m) { m.c.gpr[rcx] = source_at; },
     pf(source_at, write_fault)},
    {"SigstructNotMapped", [](EnclaveMachine& m) { m.c.gpr[rbx] = unmapped; }, pf(unmapped, 0)},
    {"TokenNotMapped", [](EnclaveMachine& m) { m.c.gpr[rdx] = unmapped; }, pf(unmapped, 0)},
    {"SecsNotValid", [](EnclaveMachine& m) { m.c.gpr[rcx] = window_of(9); },
     pf(window_of(9), write_fault)},
    {"PageNotASecs", [](EnclaveMachine& m) { m.c.gpr[rcx] = window_of(data_page); },
     pf(window_of(data_page), write_fault)},
    {"EnclaveInitialisedAlready",
     [](EnclaveMachine& m) { m.secs().attributes.flags.set(SgxAttribute::init); }, gp0},
};

INSTANTIATE_TEST_SUITE_P(Einit, EinitViolation, testing::ValuesIn(violations),
                         [](const auto& test) { return std::string{test.param.name}; });

}  // namespace
}  // namespace postern::cpu::sgx
