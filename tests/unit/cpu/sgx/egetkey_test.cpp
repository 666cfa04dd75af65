// SPDX-License-Identifier: Apache-2.0
// ENCLU[EGETKEY]: on what each key depends and on what not, the manual's table "Key Derivation"
// written out by hand; each error code and each fault.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cpu/flags.h"
#include "unit/cpu/sgx/key_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr u32 user_read = sgx_fault(false, true);
constexpr u32 user_write = sgx_fault(true, true);

constexpr std::array key_names{KeyName::einittoken_key, KeyName::provision_key,
                               KeyName::provision_seal_key, KeyName::report_key, KeyName::seal_key};
using Keys = std::array<Bytes16, key_names.size()>;

/// An enclave with KSS that may have every key, and no part of whose identity is zero.
struct Asker : KeyMachine {
    Keyrequest base{};

    Asker() {
        Secs& s = secs();
        s.attributes.flags = {SgxAttribute::init, SgxAttribute::mode64bit,
                              SgxAttribute::provisionkey, SgxAttribute::einittoken_key,
                              SgxAttribute::kss};
        s.mrenclave.fill(1);
        s.mrsigner.fill(2);
        s.configid.fill(3);
        s.configsvn = 40;
        s.isvprodid = 5;
        s.isvsvn = 60;
        epc.hidden(secs_page).isvfamilyid.fill(7);
        epc.hidden(secs_page).isvextprodid.fill(8);
        base.isvsvn = 50;
        base.configsvn = 30;
        base.cpusvn = {1, 1};
        base.keyid.fill(9);
    }
    SecsHidden& hidden() { return epc.hidden(secs_page); }

    Keys keys() {
        Keys found;
        for (size_t n = 0; n < found.size(); ++n) {
            Keyrequest request = base;
            request.keyname = key_names[n];
            found[n] = key_for(request);
        }
        return found;
    }
};

/// For each of key_names, in order: 'y' if the change gives another key, '-' if the same.
struct Dependency {
    const char* name;
    u32 policy;  // KEYPOLICY, and all_masks
    void (*change)(Asker&);
    const char* matters;
};
/// ATTRIBUTEMASK and MISCMASK are all ones, instead of zero.
constexpr u32 all_masks = 0x1'0000;

class EgetkeyDependency : public testing::TestWithParam<Dependency> {};

TEST_P(EgetkeyDependency, MattersToTheKeysThatTheManualLists) {
    Asker m;
    m.base.keypolicy = KeyPolicyWord::from_raw(static_cast<u16>(GetParam().policy));
    if ((GetParam().policy & all_masks) != 0) {
        m.base.attributemask = {SgxAttributeFlags::from_raw(~u64{0}), Xcr0Word::from_raw(~u64{0})};
        m.base.miscmask = SgxMiscselectWord::from_raw(~0u);
    }
    const Keys before = m.keys();
    EXPECT_EQ(m.keys(), before);
    GetParam().change(m);
    const Keys after = m.keys();
    std::string changed;
    for (size_t n = 0; n < before.size(); ++n) changed += before[n] != after[n] ? 'y' : '-';
    EXPECT_EQ(changed, GetParam().matters);
}

// Policies: bit 0 MRENCLAVE, 1 MRSIGNER, 2 NOISVPRODID, 3 CONFIGID, 4 ISVFAMILYID, 5 ISVEXTPRODID.
constexpr Dependency dependencies[] = {
    // What is asked. Launch, provisioning, provisioning seal, report, seal.
    {"Keyid", 0, [](Asker& m) { m.base.keyid[31] ^= 0x80; }, "y--yy"},
    {"Cpusvn", 0, [](Asker& m) { m.base.cpusvn[1] = 2; }, "yyy-y"},
    {"Isvsvn", 0, [](Asker& m) { m.base.isvsvn = 49; }, "yyy-y"},
    {"ConfigsvnWithoutConfigid", 0x37, [](Asker& m) { m.base.configsvn = 29; }, "-----"},
    {"ConfigsvnWithConfigid", 0x08, [](Asker& m) { m.base.configsvn = 29; }, "--y-y"},
    {"AttributemaskOfNoAttribute", 0,
     [](Asker& m) { m.base.attributemask.flags = SgxAttributeFlags::from_raw(u64{1} << 40); },
     "-yy-y"},
    {"AttributemaskOfAnAttribute", 0,
     [](Asker& m) { m.base.attributemask.flags = {SgxAttribute::mode64bit}; }, "yyy-y"},
    {"AttributemaskOfXfrm", 0, [](Asker& m) { m.base.attributemask.xfrm = {Xcr0::sse}; }, "yyy-y"},
    // INIT and DEBUG count anyhow, but the mask itself counts too, where it counts.
    {"AttributemaskOfWhatCountsAnyhow", 0,
     [](Asker& m) { m.base.attributemask.flags = {SgxAttribute::init, SgxAttribute::debug}; },
     "-yy-y"},
    {"MiscmaskOfNoBit", 0,
     [](Asker& m) { m.base.miscmask = SgxMiscselectWord::from_raw(u32{1} << 31); }, "-yy-y"},
    {"MiscmaskOfABit", 0, [](Asker& m) { m.base.miscmask = {SgxMiscselect::exinfo}; }, "yyy-y"},
    {"PolicyMrenclave", 0, [](Asker& m) { m.base.keypolicy = {KeyPolicy::mrenclave}; }, "--y-y"},
    {"PolicyMrsigner", 0, [](Asker& m) { m.base.keypolicy = {KeyPolicy::mrsigner}; }, "--y-y"},
    {"PolicyNoisvprodid", 0, [](Asker& m) { m.base.keypolicy = {KeyPolicy::noisvprodid}; },
     "--y-y"},
    {"PolicyConfigid", 0, [](Asker& m) { m.base.keypolicy = {KeyPolicy::configid}; }, "--y-y"},
    {"PolicyIsvfamilyid", 0, [](Asker& m) { m.base.keypolicy = {KeyPolicy::isvfamilyid}; },
     "--y-y"},
    {"PolicyIsvextprodid", 0, [](Asker& m) { m.base.keypolicy = {KeyPolicy::isvextprodid}; },
     "--y-y"},

    // Who asks: one policy bit at a time lets one thing in, and all others leave it out.
    {"Mrenclave", 0x3e, [](Asker& m) { m.secs().mrenclave[31] = 0; }, "---y-"},
    {"MrenclaveByPolicy", 0x01, [](Asker& m) { m.secs().mrenclave[31] = 0; }, "---yy"},
    {"Mrsigner", 0x3d, [](Asker& m) { m.secs().mrsigner[0] = 0; }, "yyy--"},
    {"MrsignerByPolicy", 0x02, [](Asker& m) { m.secs().mrsigner[0] = 0; }, "yyy-y"},
    {"Isvprodid", 0x3b, [](Asker& m) { m.secs().isvprodid = 6; }, "yyy-y"},
    {"IsvprodidByPolicyNot", 0x04, [](Asker& m) { m.secs().isvprodid = 6; }, "yy---"},
    {"Configid", 0x37, [](Asker& m) { m.secs().configid[63] = 0; }, "---y-"},
    {"ConfigidByPolicy", 0x08, [](Asker& m) { m.secs().configid[63] = 0; }, "--yyy"},
    {"Isvfamilyid", 0x2f, [](Asker& m) { m.hidden().isvfamilyid[15] = 0; }, "-----"},
    {"IsvfamilyidByPolicy", 0x10, [](Asker& m) { m.hidden().isvfamilyid[15] = 0; }, "--y-y"},
    {"Isvextprodid", 0x1f, [](Asker& m) { m.hidden().isvextprodid[0] = 0; }, "-----"},
    {"IsvextprodidByPolicy", 0x20, [](Asker& m) { m.hidden().isvextprodid[0] = 0; }, "--y-y"},
    {"OwnIsvsvn", 0x3f, [](Asker& m) { m.secs().isvsvn = 61; }, "-----"},
    {"OwnConfigsvn", 0x3f, [](Asker& m) { m.secs().configsvn = 41; }, "---y-"},

    {"Debug", 0, [](Asker& m) { m.secs().attributes.flags.set(SgxAttribute::debug); }, "yyyyy"},
    {"Init", 0, [](Asker& m) { m.secs().attributes.flags.set(SgxAttribute::init, false); },
     "yyyyy"},
    {"AnotherAttribute", 0,
     [](Asker& m) { m.secs().attributes.flags.set(SgxAttribute::mode64bit, false); }, "---y-"},
    {"AnotherAttributeByMask", all_masks,
     [](Asker& m) { m.secs().attributes.flags.set(SgxAttribute::mode64bit, false); }, "yyyyy"},
    {"Xfrm", 0, [](Asker& m) { m.secs().attributes.xfrm.set(Xcr0::avx); }, "---y-"},
    {"XfrmByMask", all_masks, [](Asker& m) { m.secs().attributes.xfrm.set(Xcr0::avx); }, "yyyyy"},
    {"Miscselect", 0, [](Asker& m) { m.secs().miscselect = {}; }, "---y-"},
    {"MiscselectByMask", all_masks, [](Asker& m) { m.secs().miscselect = {}; }, "yyyyy"},

    // What is no part of an identity.
    {"EnclaveId", 0x3f | all_masks, [](Asker& m) { ++m.hidden().enclave_id; }, "-----"},
    {"EnclaveContext", 0x3f | all_masks, [](Asker& m) { ++m.hidden().enclave_context; }, "-----"},
    {"SsaFrameSize", 0x3f | all_masks, [](Asker& m) { ++m.secs().ssaframesize; }, "-----"},
    {"Size", 0x3f | all_masks, [](Asker& m) { m.secs().size *= 2; }, "-----"},
    {"Registers", 0x3f | all_masks,
     [](Asker& m) {
         m.c.gpr[r8] = 1;
         m.c.xcr0 = 3;
     },
     "-----"},

    {"TheProcessor", 0x3f | all_masks, [](Asker& m) { m.system.sgx_seed = 2; }, "yyyyy"},
};
INSTANTIATE_TEST_SUITE_P(Egetkey, EgetkeyDependency, testing::ValuesIn(dependencies),
                         [](const auto& test) { return std::string{test.param.name}; });

/// SHA-256 of "Postern SGX root", the seed 1 and a number, zeros after it; its first half.
Bytes16 documented_root(u8 number) {
    std::array<u8, 32> message{}, digest;
    std::memcpy(message.data(), "Postern SGX root", 16);
    message[16] = 1;
    message[24] = number;
    EVP_Digest(message.data(), message.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
    Bytes16 root;
    std::copy_n(digest.begin(), root.size(), root.begin());
    return root;
}

using Dependencies = std::array<u8, 648>;
void put(Dependencies& d, size_t offset, std::span<const u8> bytes) {
    std::ranges::copy(bytes, d.begin() + static_cast<std::ptrdiff_t>(offset));
}
void put(Dependencies& d, size_t offset, size_t size, u8 value) {
    std::fill_n(d.begin() + static_cast<std::ptrdiff_t>(offset), size, value);
}

/// What all keys have in common: HARDCODED_PKCS1_5_PADDING.
Dependencies documented_start() {
    constexpr u8 algorithm[] = {0x00, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48,
                                0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    Dependencies d{};
    put(d, 288, 352, 0xff);
    put(d, 288, 1, 0x00);
    put(d, 289, 1, 0x01);
    put(d, 620, algorithm);
    return d;
}

// What was sealed by one version of the program is to be unsealed by the next.
TEST(Egetkey, DerivesKeysAsDocumented) {
    Asker m;
    Keyrequest request = m.base;
    request.keyname = KeyName::seal_key;
    request.keypolicy = KeyPolicyWord::from_raw(0x3b);
    Dependencies seal = documented_start();
    put(seal, 0, 1, 4);                 // KEYNAME
    put(seal, 2, 1, 0x3b);              // KEYPOLICY
    put(seal, 4, 1, 5);                 // ISVPRODID
    put(seal, 6, 1, 50);                // ISVSVN
    put(seal, 12, 4, 0xff);             // MISCMASK
    put(seal, 16, 1, 1);                // ATTRIBUTES: INIT
    put(seal, 48, 16, 7);               // ISVFAMILYID
    put(seal, 64, 16, 8);               // ISVEXTPRODID
    put(seal, 96, documented_root(2));  // SEAL_KEY_FUSES
    put(seal, 112, 2, 1);               // CPUSVN
    put(seal, 128, 32, 1);              // MRENCLAVE
    put(seal, 160, 32, 2);              // MRSIGNER
    put(seal, 192, 32, 9);              // KEYID
    put(seal, 224, 64, 3);              // CONFIGID
    put(seal, 640, 1, 30);              // CONFIGSVN
    EXPECT_EQ(m.key_for(request), reference_cmac(documented_root(1), seal));

    request.keyname = KeyName::provision_key;
    Dependencies provision = documented_start();
    put(provision, 0, 1, 1);
    put(provision, 4, 1, 5);
    put(provision, 6, 1, 50);
    put(provision, 12, 4, 0xff);
    put(provision, 16, 1, 1);
    put(provision, 112, 2, 1);
    put(provision, 160, 32, 2);
    EXPECT_EQ(m.key_for(request), reference_cmac(documented_root(1), provision));
}

TEST(Egetkey, NoTwoNamesGiveTheSameKey) {
    Asker m;
    Keys keys = m.keys();
    std::ranges::sort(keys);
    EXPECT_EQ(std::ranges::adjacent_find(keys), keys.end());
}

TEST(Egetkey, TheSameSeedGivesTheSameKeysNextTime) {
    Asker first, second;
    EXPECT_EQ(first.keys(), second.keys());
}

TEST(Egetkey, EveryPolicySealsDifferently) {
    Asker m;
    std::vector<Bytes16> keys;
    for (u16 policy = 0; policy < 0x40; ++policy) {
        Keyrequest request = m.base;
        request.keyname = KeyName::seal_key;
        request.keypolicy = KeyPolicyWord::from_raw(policy);
        keys.push_back(m.key_for(request));
    }
    std::ranges::sort(keys);
    EXPECT_EQ(std::ranges::adjacent_find(keys), keys.end());
}

TEST(Egetkey, ChangesRaxAndFlagsAndTheKeyOnly) {
    KeyMachine m;
    m.prepare_egetkey(request_for(KeyName::seal_key));
    set_rflags(m.c, rflags(m.c) | rflags_status_mask);
    m.key() = {};
    const State before{m};
    ASSERT_TRUE(sgx::enclu(m.c).ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_EQ(rflags(m.c) & rflags_status_mask, 0u);
    EXPECT_NE(m.key(), Bytes16{});
    m.c.gpr[rax] = 1;
    m.key() = {};
    set_rflags(m.c, rflags(m.c) | rflags_status_mask);
    EXPECT_TRUE(State{m} == before);
}

TEST(Egetkey, IgnoresTheUpperHalfOfRax) {
    KeyMachine m;
    m.prepare_egetkey(request_for(KeyName::seal_key));
    m.c.gpr[rax] |= 0xffff'ffff'0000'0000;
    ASSERT_TRUE(sgx::enclu(m.c).ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
}

// Error codes.

struct Refusal {
    const char* name;
    void (*arrange)(Asker&);
    u64 status;
};

class EgetkeyRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(EgetkeyRefusal, ReportsTheErrorWithZfAndLeavesTheOutputAlone) {
    Asker m;
    m.base.keyname = KeyName::seal_key;
    GetParam().arrange(m);
    m.prepare_egetkey(m.base);
    set_rflags(m.c, rflags(m.c) | rflags_status_mask);
    const State before{m};
    ASSERT_TRUE(sgx::enclu(m.c).ok());
    EXPECT_EQ(m.c.gpr[rax], GetParam().status);
    EXPECT_EQ(rflags(m.c) & rflags_status_mask, 0x40u);
    m.c.gpr[rax] = 1;
    set_rflags(m.c, rflags(m.c) | rflags_status_mask);
    EXPECT_TRUE(State{m} == before);
}

template <KeyName name, SgxAttribute attribute>
void without(Asker& m) {
    m.base.keyname = name;
    m.secs().attributes.flags.set(attribute, false);
}

template <KeyName name>
void with_isvsvn_beyond(Asker& m) {
    m.base.keyname = name;
    m.base.isvsvn = 61;
}

template <KeyName name>
void with_cpusvn_beyond(Asker& m) {
    m.base.keyname = name;
    m.base.cpusvn[0] = 3;
}

constexpr Refusal refusals[] = {
    {"Keyname5", [](Asker& m) { m.base.keyname = KeyName{5}; }, 256},
    {"Keyname100H", [](Asker& m) { m.base.keyname = KeyName{0x100}; }, 256},
    {"LaunchWithoutItsAttribute", without<KeyName::einittoken_key, SgxAttribute::einittoken_key>,
     2},
    {"ProvisionWithoutItsAttribute", without<KeyName::provision_key, SgxAttribute::provisionkey>,
     2},
    {"ProvisionSealWithoutItsAttribute",
     without<KeyName::provision_seal_key, SgxAttribute::provisionkey>, 2},
    {"LaunchIsvsvn", with_isvsvn_beyond<KeyName::einittoken_key>, 64},
    {"ProvisionIsvsvn", with_isvsvn_beyond<KeyName::provision_key>, 64},
    {"ProvisionSealIsvsvn", with_isvsvn_beyond<KeyName::provision_seal_key>, 64},
    {"SealIsvsvn", with_isvsvn_beyond<KeyName::seal_key>, 64},
    {"LaunchCpusvn", with_cpusvn_beyond<KeyName::einittoken_key>, 32},
    {"ProvisionCpusvn", with_cpusvn_beyond<KeyName::provision_key>, 32},
    {"ProvisionSealCpusvn", with_cpusvn_beyond<KeyName::provision_seal_key>, 32},
    {"SealCpusvn", with_cpusvn_beyond<KeyName::seal_key>, 32},
    {"SealCpusvnInItsLastByte", [](Asker& m) { m.base.cpusvn[15] = 1; }, 32},
    {"SealConfigsvn", [](Asker& m) { m.base.configsvn = 41; }, 64},
    {"ProvisionSealConfigsvn",
     [](Asker& m) {
         m.base.keyname = KeyName::provision_seal_key;
         m.base.configsvn = 41;
     },
     64},
    // The order.
    {"AttributeBeforeCpusvn",
     [](Asker& m) {
         without<KeyName::provision_key, SgxAttribute::provisionkey>(m);
         m.base.cpusvn[0] = 3;
         m.base.isvsvn = 61;
     },
     2},
    {"CpusvnBeforeIsvsvn",
     [](Asker& m) {
         m.base.cpusvn[0] = 3;
         m.base.isvsvn = 61;
     },
     32},
};
INSTANTIATE_TEST_SUITE_P(Egetkey, EgetkeyRefusal, testing::ValuesIn(refusals),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(Egetkey, AReportKeyAsksForNoVersions) {
    Asker m;
    m.base.keyname = KeyName::report_key;
    m.base.isvsvn = 0xffff;
    m.base.configsvn = 0xffff;
    m.base.cpusvn.fill(0xff);
    EXPECT_EQ(m.egetkey(m.base), 0u);
}

TEST(Egetkey, TheOwnVersionsAreNotBeyond) {
    Asker m;
    m.base.isvsvn = 60;
    m.base.configsvn = 40;
    m.base.cpusvn = {2, 2};
    for (const KeyName name : key_names) {
        m.base.keyname = name;
        EXPECT_EQ(m.egetkey(m.base), 0u);
    }
}

TEST(Egetkey, KeysThatTakeNoConfigsvnDoNotCheckIt) {
    Asker m;
    m.base.configsvn = 41;
    for (const KeyName name : {KeyName::einittoken_key, KeyName::provision_key}) {
        m.base.keyname = name;
        EXPECT_EQ(m.egetkey(m.base), 0u);
    }
}

// Faults.

void expect_fault_only(KeyMachine& m, const Fault& fault) {
    const State before{m};
    EXPECT_FALSE(sgx::enclu(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), fault);
    EXPECT_TRUE(State{m} == before);
}

struct KeyViolation {
    const char* name;
    void (*arrange)(KeyMachine&);
    Fault fault;
};

class EgetkeyViolation : public testing::TestWithParam<KeyViolation> {};

/// Without KSS.
TEST_P(EgetkeyViolation, FaultsAndChangesNothing) {
    KeyMachine m;
    m.prepare_egetkey(request_for(KeyName::seal_key));
    GetParam().arrange(m);
    expect_fault_only(m, GetParam().fault);
}

constexpr KeyViolation violations[] = {
    {"KeyrequestNotAlignedTo512", [](KeyMachine& m) { m.c.gpr[rbx] += 0x100; }, gp0},
    {"KeyrequestBelowElrange", [](KeyMachine& m) { m.c.gpr[rbx] = elrange - 512; }, gp0},
    {"KeyrequestAboveElrange", [](KeyMachine& m) { m.c.gpr[rbx] = elrange + elrange_size; }, gp0},
    {"KeyrequestNotMapped", [](KeyMachine& m) { m.c.gpr[rbx] = elrange + 0x8000; },
     pf(elrange + 0x8000, 4)},
    {"KeyrequestNotInTheEpc",
     [](KeyMachine& m) { m.map(input_linear, source_at, pte_p | pte_w | pte_u); },
     pf(keyrequest_at, user_read)},
    {"KeyrequestNotReadable", [](KeyMachine& m) { m.entry(input_page).r = false; },
     pf(keyrequest_at, user_read)},
    {"OutputNotAlignedTo16", [](KeyMachine& m) { m.c.gpr[rcx] += 8; }, gp0},
    {"OutputOutsideElrange", [](KeyMachine& m) { m.c.gpr[rcx] = source_at; }, gp0},
    {"OutputNotMapped", [](KeyMachine& m) { m.c.gpr[rcx] = elrange + 0x8000; },
     pf(elrange + 0x8000, 6)},
    {"OutputNotInTheEpc",
     [](KeyMachine& m) { m.map(output_linear, source_at, pte_p | pte_w | pte_u); },
     pf(key_at, user_write)},
    {"OutputNotWritable", [](KeyMachine& m) { m.entry(output_page).w = false; },
     pf(key_at, user_write)},
    {"ReservedByte6", [](KeyMachine& m) { m.operand<u8>(input_page, input_offset + 6) = 1; }, gp0},
    {"ReservedByte7", [](KeyMachine& m) { m.operand<u8>(input_page, input_offset + 7) = 1; }, gp0},
    {"ReservedByte78", [](KeyMachine& m) { m.operand<u8>(input_page, input_offset + 78) = 1; },
     gp0},
    {"ReservedByte511", [](KeyMachine& m) { m.operand<u8>(input_page, input_offset + 511) = 1; },
     gp0},
    {"PolicyBit2WithoutKss",
     [](KeyMachine& m) { m.request().keypolicy = KeyPolicyWord::from_raw(1u << 2); }, gp0},
    {"PolicyBit3WithoutKss",
     [](KeyMachine& m) { m.request().keypolicy = KeyPolicyWord::from_raw(1u << 3); }, gp0},
    {"PolicyBit4WithoutKss",
     [](KeyMachine& m) { m.request().keypolicy = KeyPolicyWord::from_raw(1u << 4); }, gp0},
    {"PolicyBit5WithoutKss",
     [](KeyMachine& m) { m.request().keypolicy = KeyPolicyWord::from_raw(1u << 5); }, gp0},
    {"PolicyBit6", [](KeyMachine& m) { m.request().keypolicy = KeyPolicyWord::from_raw(1u << 6); },
     gp0},
    {"PolicyBit6WithKss",
     [](KeyMachine& m) {
         m.secs().attributes.flags.set(SgxAttribute::kss);
         m.request().keypolicy = KeyPolicyWord::from_raw(1u << 6);
     },
     gp0},
    {"PolicyBit15",
     [](KeyMachine& m) { m.request().keypolicy = KeyPolicyWord::from_raw(1u << 15); }, gp0},
    {"ConfigsvnWithoutKss", [](KeyMachine& m) { m.request().configsvn = 1; }, gp0},
    // The order.
    {"KeyrequestsPageBeforeTheOutputsAlignment",
     [](KeyMachine& m) {
         m.entry(input_page).blocked = true;
         m.c.gpr[rcx] += 1;
     },
     pf(keyrequest_at, user_read)},
    {"OutputsPageBeforeReservedBits",
     [](KeyMachine& m) {
         m.entry(output_page).blocked = true;
         m.request().reserved_7 = 1;
     },
     pf(key_at, user_write)},
    {"ReservedBitsBeforeTheKeyname",
     [](KeyMachine& m) {
         m.request().keyname = KeyName{5};
         m.request().reserved_7 = 1;
     },
     gp0},
};
INSTANTIATE_TEST_SUITE_P(Egetkey, EgetkeyViolation, testing::ValuesIn(violations),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(Egetkey, EveryReservedByteMustBeZero) {
    KeyMachine m;
    for (u64 n = 78; n < 512; ++n) {
        m.prepare_egetkey(request_for(KeyName::seal_key));
        m.operand<u8>(input_page, input_offset + n) = 0x80;
        EXPECT_FALSE(sgx::enclu(m.c).ok()) << n;
        EXPECT_EQ(pending_fault(m.c), gp0) << n;
    }
}

class EgetkeyPage : public testing::TestWithParam<EpcmFlaw> {};

TEST_P(EgetkeyPage, FaultsWhicheverOperandLiesThere) {
    KeyMachine in, out;
    in.prepare_egetkey(request_for(KeyName::seal_key));
    GetParam().arrange(in.entry(input_page));
    expect_fault_only(in, pf(keyrequest_at, user_read));
    out.prepare_egetkey(request_for(KeyName::seal_key));
    GetParam().arrange(out.entry(output_page));
    expect_fault_only(out, pf(key_at, user_write));
}
INSTANTIATE_TEST_SUITE_P(Egetkey, EgetkeyPage, testing::ValuesIn(epcm_flaws),
                         [](const auto& test) { return std::string{test.param.name}; });

}  // namespace
}  // namespace postern::cpu::sgx
