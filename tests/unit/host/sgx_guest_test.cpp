// SPDX-License-Identifier: Apache-2.0
// ENCLS of small hosted guests on the software processor: what is allowed and refused, faults with
// the operand's address, and an EPC that is emptied while enclaves live in it.
#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "arch/sgx/error.h"
#include "arch/sgx/pageinfo.h"
#include "arch/sgx/secs.h"
#include "cpu/model.h"
#include "host/guest.h"
#include "unit/platform/elf_image.h"

namespace postern::host {
namespace {

constexpr u64 code_at = 0x10'0000, secs_source_at = 0x20'1000;
constexpr u64 parameters_at = 0x20'2000, zeros_at = 0x20'3000;
constexpr u64 enclave_base = 0x4000'0000;
constexpr u64 epc_linear = 0xc000'0000;
constexpr u64 reg_page = 0x203;  // SECINFO: REG, R, W

class Watched final : public hv::Watcher {
public:
    void exit(const hv::ExitRecord& record) override {
        if ((record.injected >> 31) != 0) injected.push_back(record);
        if ((record.raw_reason & 0xffff) == static_cast<u32>(BasicReason::encls)) ++encls;
    }
    void anomaly(hv::Anomaly, const hv::ExitRecord&) override { ++anomalies; }
    void stopped(const hv::StopReport&) override {}

    std::vector<hv::ExitRecord> injected;
    int encls = 0, anomalies = 0;
};

/// Machine code of a kernel that runs leaves and ends with what the last one left in RAX.
class Program {
public:
    Program& leaf(EnclsLeaf leaf, u64 rbx, u64 rcx, u64 rdx = 0) {
        load(0xb8, static_cast<u64>(leaf)).load(0xbb, rbx).load(0xb9, rcx).load(0xba, rdx);
        return put({0x0f, 0x01, 0xcf});
    }
    [[nodiscard]] std::vector<u8> end() {
        put({0xe6, 0xf4});  // out 0f4h, al
        return {bytes_.begin(), bytes_.begin() + size_};
    }

private:
    Program& load(u8 opcode, u64 value) {
        put({0x48, opcode});
        for (unsigned i = 0; i < 8; ++i) bytes_[size_++] = static_cast<u8>(value >> 8 * i);
        return *this;
    }
    Program& put(std::initializer_list<u8> bytes) {
        for (const u8 byte : bytes) bytes_[size_++] = byte;
        return *this;
    }
    std::array<u8, 512> bytes_{};
    size_t size_ = 0;
};

class SgxGuest : public ::testing::Test {
protected:
    SgxGuest() {
        config.layout = platform::layout_of(64 * platform::mib, 2 * platform::mib);
        config.model = &cpu::default_model();
        secs.size = 0x10'0000;
        secs.baseaddr = enclave_base;
        secs.ssaframesize = 1;
        secs.attributes = {SgxAttributeFlags{SgxAttribute::mode64bit, SgxAttribute::debug},
                           Xcr0Word::from_raw(3)};
    }
    [[nodiscard]] static u64 epc(u64 page) { return epc_linear + page * page_size; }
    /// In the fourth GiB, by the loader's tables: the EPC lies above what they map.
    void map_epc() {
        u64 table = guest->port().vmread(VmcsField::guest_cr3);
        for (const u64 index : {u64{0}, epc_linear >> 30}) {
            std::memcpy(&table, guest->vm().ram_at(Gpa{table + 8 * index}), sizeof table);
            table &= ~u64{0xfff};
        }
        put(table, config.layout.epc_base | 0x83);
    }

    RunResult run(const std::vector<u8>& code) {
        test::ElfFile file;
        file.entry(code_at);
        file.add({1, 0x1000, code_at, code.size(), 0x2000});
        for (size_t i = 0; i < code.size(); ++i) file.put(0x1000 + i, code[i], 1);
        config.kernel.name = "test";
        config.kernel.file = file.bytes;
        auto made = Guest::create(config, {serial, debug, watched, {}});
        EXPECT_TRUE(made.has_value());
        if (!made) return {};
        guest = std::move(*made);
        map_epc();
        put(secs_source_at, secs);
        put(parameters_at, Pageinfo{0, secs_source_at, parameters_at + 64, 0});
        put(parameters_at + 64, Secinfo{});
        put(parameters_at + 128, Pageinfo{enclave_base, zeros_at, parameters_at + 192, epc(0)});
        put(parameters_at + 192, Secinfo{SecinfoFlags::from_raw(reg_page), {}});
        return guest->run({1'000'000, 0});
    }
    template <class T>
    void put(u64 at, const T& value) {
        std::memcpy(guest->vm().ram_at(Gpa{at}), &value, sizeof value);
    }
    Program ecreate() { return Program{}.leaf(EnclsLeaf::ecreate, parameters_at, epc(0)); }
    [[nodiscard]] cpu::Epc& machine_epc() { return *guest->machine().epc(); }
    [[nodiscard]] const hv::SgxRefusal& refusal() { return guest->vm().sgx().last_refusal(); }

    GuestConfig config;
    Secs secs{};
    platform::StringSink serial, debug;
    Watched watched;
    std::unique_ptr<Guest> guest;
};

TEST_F(SgxGuest, EcreateIsCarriedOutAndOtherLeavesRunWithoutAnExit) {
    const RunResult result =
        run(ecreate().leaf(EnclsLeaf::eadd, parameters_at + 128, epc(1)).end());
    EXPECT_EQ(result.ending, Ending::exit_port) << result.what;
    EXPECT_EQ(watched.encls, 1);
    EXPECT_EQ(watched.anomalies, 0);
    ASSERT_TRUE(machine_epc().entries[0].valid);
    EXPECT_EQ(machine_epc().entries[0].page_type, PageType::secs);
    EXPECT_EQ(machine_epc().secs(0).size, 0x10'0000u);
    EXPECT_TRUE(machine_epc().entries[1].valid);
    EXPECT_EQ(refusal().number, 0u);
    ASSERT_EQ(guest->vm().enclaves().entries().size(), 1u);
    const hv::EnclaveIdentity& enclave = guest->vm().enclaves().entries()[0].enclave;
    EXPECT_EQ(enclave.secs, config.layout.epc_base);
}

TEST_F(SgxGuest, TheProvisioningKeyIsRefusedAndTheRefusalKept) {
    secs.attributes.flags.set(SgxAttribute::provisionkey);
    const RunResult result = run(ecreate().end());
    EXPECT_EQ(result.ending, Ending::stopped) << "#GP without an IDT is a triple fault";
    EXPECT_FALSE(machine_epc().entries[0].valid);
    EXPECT_EQ(refusal().verdict.field, hv::SgxField::provision_key);
    EXPECT_EQ(refusal().verdict.asked, 0x16u);
    EXPECT_EQ(refusal().secs, config.layout.epc_base);
    ASSERT_FALSE(watched.injected.empty());
    EXPECT_EQ(watched.injected[0].injected, 0x8000'0b0du);
}

TEST_F(SgxGuest, TheProvisioningKeyIsGivenByGrant) {
    secs.attributes.flags.set(SgxAttribute::provisionkey);
    config.provision_key = true;
    EXPECT_EQ(run(ecreate().end()).ending, Ending::exit_port);
    EXPECT_TRUE(machine_epc().secs(0).attributes.flags.has(SgxAttribute::provisionkey));
}

TEST_F(SgxGuest, WithoutThePolicyAnyEnclaveHasTheProvisioningKey) {
    secs.attributes.flags.set(SgxAttribute::provisionkey);
    config.protections.set(hv::Protection::sgx_policy, false);
    EXPECT_EQ(run(ecreate().end()).ending, Ending::exit_port);
    EXPECT_TRUE(machine_epc().secs(0).attributes.flags.has(SgxAttribute::provisionkey));
}

TEST_F(SgxGuest, WhatOnlyTheProcessorChecksIsRefusedByIt) {
    secs.baseaddr = enclave_base + page_size;  // not aligned to the size
    EXPECT_EQ(run(ecreate().end()).ending, Ending::stopped);
    EXPECT_EQ(refusal().verdict, (hv::SgxVerdict{hv::SgxField::processor, 13, 0}));
}

TEST_F(SgxGuest, K17_ASecsPageThatIsInUseIsTheGuestsPageFault) {
    EXPECT_EQ(run(ecreate().leaf(EnclsLeaf::ecreate, parameters_at, epc(0)).end()).ending,
              Ending::stopped);
    ASSERT_FALSE(watched.injected.empty());
    EXPECT_EQ(watched.injected[0].injected, 0x8000'0b0eu);
    EXPECT_EQ(watched.injected[0].injected_error_code, 0x8003u);
    EXPECT_EQ(guest->vcpu().registers().cr2, epc(0));
}

TEST_F(SgxGuest, EinitsCodeIsTheProcessorsOwn) {
    const RunResult result =
        run(ecreate().leaf(EnclsLeaf::einit, zeros_at, epc(0), zeros_at).end());
    EXPECT_EQ(result.ending, Ending::exit_port);
    EXPECT_EQ(result.value, static_cast<u32>(SgxError::invalid_sig_struct));
    EXPECT_EQ(watched.encls, 2);
}

TEST_F(SgxGuest, AResetEmptiesTheEpcOfLivingEnclaves) {
    ASSERT_EQ(run(ecreate().leaf(EnclsLeaf::eadd, parameters_at + 128, epc(1)).end()).ending,
              Ending::exit_port);
    const hv::EpcScrub scrub = guest->vm().scrub_epc();
    EXPECT_EQ(scrub.pages, 512u);
    EXPECT_EQ(scrub.left, 0u);
    for (const EpcmEntry& entry : machine_epc().entries) EXPECT_FALSE(entry.valid);
    EXPECT_TRUE(guest->port().failure().empty()) << guest->port().failure();
}

TEST_F(SgxGuest, AResetReportsAnEnclaveThatAThreadIsIn) {
    ASSERT_EQ(run(ecreate().leaf(EnclsLeaf::eadd, parameters_at + 128, epc(1)).end()).ending,
              Ending::exit_port);
    machine_epc().hidden(0).active_threads = 1;
    const hv::EpcScrub scrub = guest->vm().scrub_epc();
    EXPECT_EQ(scrub.left, 2u);
    EXPECT_EQ(scrub.in_use, 1u);
    EXPECT_EQ(scrub.parents, 1u);
    EXPECT_EQ(scrub.first_left.raw(), config.layout.epc_base);
}

}  // namespace
}  // namespace postern::host
