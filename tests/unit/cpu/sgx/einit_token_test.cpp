// SPDX-License-Identifier: Apache-2.0
// ENCLS[EINIT] with a launch token: a launch enclave asks EGETKEY for its key and the test MACs a
// token with it, by its own AES-CMAC, for an enclave whose signer IA32_SGXLEPUBKEYHASH does not
// name.
#include <gtest/gtest.h>

#include <string>

#include "cpu/flags.h"
#include "unit/cpu/sgx/key_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr u64 invalid_attribute = 2, invalid_measurement = 4, invalid_einittoken = 16,
              invalid_cpusvn = 32;

/// SIGSTRUCT for the enclave of `m` as it stands, by this signer.
void sign_for(EnclaveMachine& m, const char* signer) {
    m.prepare_einit();
    Sigstruct& s = m.at<Sigstruct>(sigstruct_at);
    s.attributes = m.secs().attributes;
    sign(s, signer);
}

enum class Launcher : u8 { production, debug };

/// Inside an initialised launch enclave.
struct LaunchEnclave : KeyMachine {
    explicit LaunchEnclave(Launcher kind, u64 seed = 1) : KeyMachine{NotYet{}} {
        system.sgx_seed = seed;
        c.msr.sgx_le_pubkey_hash = signer_hash(launch_signing_key);
        build();
        secs().attributes.flags.set(SgxAttribute::einittoken_key);
        secs().attributes.flags.set(SgxAttribute::debug, kind == Launcher::debug);
        sign_for(*this, launch_signing_key);
        EXPECT_TRUE(einit().ok());
        EXPECT_EQ(c.gpr[rax], 0u);
        as_user();
        EXPECT_TRUE(eenter().ok());
        c.rip = c.next_rip;
    }

    /// Fills in what the launch key depends on, and the MAC.
    void issue(Einittoken& token) {
        Keyrequest request = request_for(KeyName::einittoken_key);
        request.isvsvn = token.isvsvnle;
        request.cpusvn = token.cpusvnle;
        request.keyid = token.keyid;
        request.attributemask.flags = SgxAttributeFlags::from_raw(~u64{0});
        request.miscmask = SgxMiscselectWord::from_raw(~0u);
        token.isvprodidle = secs().isvprodid;
        token.maskedattributesle = {secs().attributes.flags, {}};
        token.maskedmiscselectle = secs().miscselect;
        token.mac = reference_cmac(key_for(request), bytes_of(token).first(192));
    }
};

/// About to EINIT an enclave of a signer who may launch nothing.
struct Target : EnclaveMachine {
    Target() {
        c.msr.sgx_le_pubkey_hash = signer_hash(launch_signing_key);
        build();
        sign_for(*this, test_signing_key);
    }
    Einittoken& token() { return at<Einittoken>(token_at); }

    /// A token for this enclave, but for what depends on the launch enclave.
    Einittoken blank_token() {
        Einittoken token{};
        token.valid = 1;
        token.attributes = secs().attributes;
        token.mrenclave = expected_mrenclave();
        const auto signer = signer_hash(test_signing_key);
        std::memcpy(token.mrsigner.data(), signer.data(), 32);
        token.cpusvnle = {2, 2};
        token.isvsvnle = 7;
        token.keyid.fill(0xa5);
        return token;
    }
    u64 einit_with(const Einittoken& what) {
        token() = what;
        EXPECT_TRUE(einit().ok());
        return c.gpr[rax];
    }
};

TEST(EinitToken, LaunchesAnEnclaveOfAnybody) {
    LaunchEnclave launcher{Launcher::production};
    Target m;
    Einittoken token = m.blank_token();
    launcher.issue(token);
    set_rflags(m.c, rflags(m.c) | rflags_status_mask);
    EXPECT_EQ(m.einit_with(token), 0u);
    EXPECT_EQ(rflags(m.c) & rflags_status_mask, 0u);
    EXPECT_TRUE(m.secs().attributes.flags.has(SgxAttribute::init));
    EXPECT_EQ(m.secs().mrenclave, m.expected_mrenclave());
    EXPECT_EQ(std::memcmp(m.secs().mrsigner.data(), token.mrsigner.data(), 32), 0);
    m.as_user();
    EXPECT_TRUE(m.eenter().ok());
}

TEST(EinitToken, MayBeOfAnOlderLaunchEnclaveOnAnOlderProcessor) {
    LaunchEnclave launcher{Launcher::production};
    Target m;
    Einittoken token = m.blank_token();
    token.cpusvnle = {2, 1};
    token.isvsvnle = 3;
    launcher.issue(token);
    EXPECT_EQ(m.einit_with(token), 0u);
}

TEST(EinitToken, IsNotLookedAtUnlessItSaysThatItIsValid) {
    LaunchEnclave launcher{Launcher::production};
    Target m;
    Einittoken token = m.blank_token();
    launcher.issue(token);
    token.valid = 0;
    EXPECT_EQ(m.einit_with(token), invalid_einittoken);

    Target trusted;
    trusted.c.msr.sgx_le_pubkey_hash = signer_hash(test_signing_key);
    token.mac = {};
    token.reserved_212.fill(1);
    EXPECT_EQ(trusted.einit_with(token), 0u);
}

TEST(EinitToken, CountsEvenWhereTheSignerNeedsNone) {
    Target m;
    m.c.msr.sgx_le_pubkey_hash = signer_hash(test_signing_key);
    EXPECT_EQ(m.einit_with(m.blank_token()), invalid_einittoken);
}

TEST(EinitToken, OfADebugLauncherLaunchesDebugEnclavesOnly) {
    LaunchEnclave launcher{Launcher::debug};
    Target debug, production;
    Einittoken token = debug.blank_token();
    launcher.issue(token);
    EXPECT_EQ(debug.einit_with(token), 0u);

    production.secs().attributes.flags.set(SgxAttribute::debug, false);
    sign_for(production, test_signing_key);
    token = production.blank_token();
    launcher.issue(token);
    EXPECT_EQ(production.einit_with(token), invalid_einittoken);
}

TEST(EinitToken, OfAProductionLauncherLaunchesProductionEnclaves) {
    LaunchEnclave launcher{Launcher::production};
    Target m;
    m.secs().attributes.flags.set(SgxAttribute::debug, false);
    sign_for(m, test_signing_key);
    Einittoken token = m.blank_token();
    launcher.issue(token);
    EXPECT_EQ(m.einit_with(token), 0u);
}

TEST(EinitToken, OfAnotherProcessorIsRefused) {
    LaunchEnclave elsewhere{Launcher::production, 2};
    Target m;
    Einittoken token = m.blank_token();
    elsewhere.issue(token);
    EXPECT_EQ(m.einit_with(token), invalid_einittoken);
}

TEST(EinitToken, IsRefusedOnceAnotherLaunchSignerRules) {
    LaunchEnclave launcher{Launcher::production};
    Target m;
    Einittoken token = m.blank_token();
    launcher.issue(token);
    m.c.msr.sgx_le_pubkey_hash[1] ^= 1;
    EXPECT_EQ(m.einit_with(token), invalid_einittoken);
}

TEST(EinitToken, DoesNotReplaceTheSigstruct) {
    LaunchEnclave launcher{Launcher::production};
    Target m;
    Einittoken token = m.blank_token();
    launcher.issue(token);
    m.secs().attributes.flags.set(SgxAttribute::einittoken_key);
    EXPECT_EQ(m.einit_with(token), invalid_attribute);
}

TEST(EinitToken, EveryByteOfItCounts) {
    LaunchEnclave launcher{Launcher::production};
    Target m;
    Einittoken token = m.blank_token();
    launcher.issue(token);
    for (size_t byte = 0; byte < 304; ++byte) {
        Einittoken forged = token;
        reinterpret_cast<u8*>(&forged)[byte] ^= byte == 0 ? 2 : 1;  // VALID stays
        const bool beyond = byte >= 192 && byte < 208;
        EXPECT_EQ(m.einit_with(forged), beyond ? invalid_cpusvn : invalid_einittoken) << byte;
    }
    token.cpusvnle = {1, 2};  // an older version has another key
    EXPECT_EQ(m.einit_with(token), invalid_einittoken);
}

// Tokens that the launch enclave made, though it should not have.

struct Mistake {
    const char* name;
    void (*arrange)(Einittoken&);
    u64 status;
};

class EinitTokenMistake : public testing::TestWithParam<Mistake> {};

TEST_P(EinitTokenMistake, IsReportedAndChangesNothing) {
    LaunchEnclave launcher{Launcher::production};
    Target m;
    Einittoken token = m.blank_token();
    GetParam().arrange(token);
    launcher.issue(token);
    const State before{m};
    EXPECT_EQ(m.einit_with(token), GetParam().status);
    EXPECT_EQ(rflags(m.c) & rflags_status_mask, 0x40u);
    EXPECT_TRUE(State{m}.pages == before.pages && State{m}.entries == before.entries);
}

constexpr Mistake mistakes[] = {
    {"Mrenclave", [](Einittoken& t) { t.mrenclave[0] ^= 1; }, invalid_measurement},
    {"Mrsigner", [](Einittoken& t) { t.mrsigner[31] ^= 1; }, invalid_measurement},
    {"Attributes", [](Einittoken& t) { t.attributes.flags.set(SgxAttribute::debug, false); },
     invalid_attribute},
    {"AttributesWithInit", [](Einittoken& t) { t.attributes.flags.set(SgxAttribute::init); },
     invalid_attribute},
    {"Xfrm", [](Einittoken& t) { t.attributes.xfrm.set(Xcr0::avx); }, invalid_attribute},
    {"UpperBitOfValid", [](Einittoken& t) { t.valid = 0x8000'0001; }, invalid_einittoken},
    {"ReservedAt4", [](Einittoken& t) { t.reserved_4[43] = 1; }, invalid_einittoken},
    {"ReservedAt96", [](Einittoken& t) { t.reserved_96[31] = 1; }, invalid_einittoken},
    {"ReservedAt160", [](Einittoken& t) { t.reserved_160[31] = 1; }, invalid_einittoken},
    {"ReservedAt212", [](Einittoken& t) { t.reserved_212[23] = 1; }, invalid_einittoken},
    // The order.
    {"MeasurementBeforeAttributes",
     [](Einittoken& t) {
         t.mrenclave[0] ^= 1;
         t.attributes.xfrm.set(Xcr0::avx);
     },
     invalid_measurement},
};
INSTANTIATE_TEST_SUITE_P(Einit, EinitTokenMistake, testing::ValuesIn(mistakes),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(EinitToken, ReservedBytesComeBeforeCpusvnAndCpusvnBeforeTheMac) {
    Target m;
    Einittoken token = m.blank_token();
    token.cpusvnle[0] = 3;
    EXPECT_EQ(m.einit_with(token), invalid_cpusvn);
    token.reserved_212[0] = 1;
    EXPECT_EQ(m.einit_with(token), invalid_einittoken);
}

}  // namespace
}  // namespace postern::cpu::sgx
