// SPDX-License-Identifier: Apache-2.0
// What hypervisors are suspected of getting wrong (docs/suspects.md), with a real enclave on the
// software processor under the whole hypervisor.
#include <gtest/gtest.h>

#include <cstring>

#include "arch/sgx/ssa.h"
#include "cpu/model.h"
#include "host/guest.h"
#include "support/hosted_kernel.h"

namespace postern::host {
namespace {

using namespace postern::test::hosted;

constexpr u64 ssa_page = 3;  // EPC page: SECS, TCS, code, SSA

class Records final : public hv::Watcher {
public:
    void exit(const hv::ExitRecord& record) override { exits.push_back(record); }
    void anomaly(hv::Anomaly, const hv::ExitRecord&) override { ++anomalies; }
    void stopped(const hv::StopReport&) override {}

    std::vector<hv::ExitRecord> exits;
    int anomalies = 0;
};

/// MOV RAX, imm64.
std::vector<u8> load_rax(u64 value) {
    std::vector<u8> code{0x48, 0xb8};
    for (unsigned i = 0; i < 8; ++i) code.push_back(static_cast<u8>(value >> 8 * i));
    return code;
}

/// A program that enters an enclave whose code this is.
struct EnclaveRun {
    explicit EnclaveRun(std::vector<u8> enclave_code, GuestConfig config = {}) {
        Slot enter{.code = {0x0f, 0x01, 0xd7}};
        enter.gpr[rax] = 2;
        enter.gpr[rbx] = at::elrange;
        enter.gpr[rcx] = at::aep;
        enter.gpr[rsp] = at::stack;
        config.layout = layout();
        config.model = &cpu::default_model();
        config.kernel.name = "test";
        config.kernel.file =
            make_kernel({.slots = {enter}, .enclave_code = std::move(enclave_code)});
        auto made = Guest::create(std::move(config), {nowhere, nowhere, records, [](u32) {}});
        if (!made) {
            ADD_FAILURE() << made.error().what;
            return;
        }
        guest = std::move(*made);
        result = guest->run({1'000'000, 0});
        for (const hv::ExitRecord& record : records.exits)
            if (record.kind == hv::ExitKind::enclave) from_enclave.push_back(record);
    }

    /// Of the enclave's first SSA frame.
    [[nodiscard]] Gprsgx saved() const {
        Gprsgx registers;
        const u8* const page = guest->machine().epc()->page(ssa_page);
        std::memcpy(&registers, page + page_size - sizeof registers, sizeof registers);
        return registers;
    }

    platform::NullSink nowhere;
    Records records;
    std::unique_ptr<Guest> guest;
    RunResult result;
    std::vector<hv::ExitRecord> from_enclave;
};

std::vector<u8> touch(u64 address, std::initializer_list<u8> instruction) {
    std::vector<u8> code = load_rax(address);
    code.insert(code.end(), instruction);
    return code;
}
const std::vector<u8> load_doorbell = touch(platform::doorbell_base, {0x8b, 0x10});
const std::vector<u8> store_doorbell = touch(platform::doorbell_base, {0x89, 0x10});
constexpr u64 after_load_rax = at::elrange + page_size + 10;

void expect_guarded(const EnclaveRun& run, Vector vector) {
    ASSERT_FALSE(run.from_enclave.empty());
    const hv::ExitRecord& last = run.from_enclave.back();
    EXPECT_EQ(last.action, hv::Action::guarded);
    EXPECT_EQ(last.injected, InterruptionInformation::hardware_exception(vector).to_raw());
    EXPECT_EQ(last.rip_or_aep, at::aep);
    EXPECT_EQ(last.rip_after, at::aep);
    EXPECT_EQ(last.tcs, at::elrange);
    EXPECT_EQ(run.guest->devices().doorbell.count(), 0u);
    EXPECT_EQ(run.result.ending, Ending::exit_port);
    EXPECT_EQ(run.records.anomalies, 0);
}

TEST(SuspectsHosted, K15_TheHandlerInsideSeesNothingOfAUdThatTheGuardInjected) {
    for (const auto& code : {load_doorbell, store_doorbell}) {
        const EnclaveRun run{code};
        expect_guarded(run, Vector::invalid_opcode);
        EXPECT_FALSE(run.saved().exitinfo.valid());
        EXPECT_EQ(run.saved().exitinfo.to_raw(), 0u);
        EXPECT_EQ(run.saved().rip, after_load_rax) << "the instruction that touched the device";
    }
}

TEST(SuspectsHosted, K15_OfAUdOfItsOwnItSeesTheVector) {
    const EnclaveRun run{std::vector<u8>{0x0f, 0x0b}};
    EXPECT_EQ(run.result.ending, Ending::exit_port);
    EXPECT_EQ(run.saved().exitinfo, (Exitinfo{Vector::invalid_opcode, ExitinfoType::hardware}));
}

TEST(SuspectsHosted, K15_AnotherVectorChangesNothingAboutThat) {
    GuestConfig config;
    config.enclave_fault = hv::EnclaveFault::gp;
    const EnclaveRun run{load_doorbell, std::move(config)};
    expect_guarded(run, Vector::general_protection);
    EXPECT_EQ(run.saved().exitinfo.to_raw(), 0u);
}

TEST(SuspectsHosted, K14_UnderStopTheGuestEndsWithTheWholeExit) {
    GuestConfig config;
    config.enclave_fault = hv::EnclaveFault::stop;
    const EnclaveRun run{load_doorbell, std::move(config)};
    EXPECT_EQ(run.result.ending, Ending::stopped);
    EXPECT_EQ(run.result.stop.reason, hv::StopReason::enclave_fault);
    EXPECT_EQ(run.result.stop.exit.kind, hv::ExitKind::enclave);
    EXPECT_EQ(run.result.stop.exit.tcs, at::elrange);
    EXPECT_EQ(run.guest->devices().doorbell.count(), 0u);
}

TEST(SuspectsHosted, K16_AnEnclavesUdExitsToNobody) {
    const EnclaveRun run{std::vector<u8>{0x0f, 0x0b}};
    for (const hv::ExitRecord& record : run.records.exits)
        EXPECT_NE(record.raw_reason & 0xffff, 0u) << "an exception that exits";
}

TEST(SuspectsHosted, K9_NoInstructionThatMightExitEndsTheGuestFromAnEnclave) {
    const std::vector<std::vector<u8>> instructions{
        {0x0f, 0x31},              // RDTSC
        {0x0f, 0x01, 0xf9},        // RDTSCP
        {0x0f, 0xc7, 0xf0},        // RDRAND
        {0x0f, 0xc7, 0xf8},        // RDSEED
        {0xf3, 0x90},              // PAUSE
        {0xf2, 0x0f, 0xae, 0xf0},  // UMWAIT
        {0x66, 0x0f, 0xae, 0xf0},  // TPAUSE
        {0x0f, 0x23, 0xc0},        // MOV DR0, RAX
        {0x0f, 0xa2},              // CPUID
        {0x0f, 0x01, 0xc1},        // VMCALL
        {0x0f, 0x01, 0xc4},        // VMXOFF
        {0x0f, 0xc7, 0x30},        // VMPTRLD
        {0x0f, 0x78, 0xc1},        // VMREAD
        {0xec},                    // IN
        {0xf4},                    // HLT
        {0x0f, 0x32},              // RDMSR
        {0x0f, 0x01, 0xcf},        // ENCLS
    };
    for (const auto& code : instructions) {
        const EnclaveRun run{code};
        EXPECT_EQ(run.result.ending, Ending::exit_port) << std::hex << int{code[1 % code.size()]};
        EXPECT_EQ(run.records.anomalies, 0);
    }
}

TEST(SuspectsHosted, K13_WhatTheEnclaveExitedByIsCounted) {
    const EnclaveRun run{load_doorbell};
    const hv::Counters counters = run.guest->counters();
    EXPECT_EQ(counters.of(BasicReason::ept_misconfiguration, hv::ExitKind::enclave), 1u);
    EXPECT_EQ(counters.guard_hits, 1u);
    EXPECT_EQ(counters.injected_ud, 1u);
    EXPECT_EQ(counters.zero_length_skips, 1u);
    EXPECT_EQ(counters.skip_anomalies, 0u);
}

/// A program that does nothing, behind a kernel that builds an enclave in this way.
struct BuildingRun {
    explicit BuildingRun(Program program) {
        program.slots = {Slot{.code = {0x90}}};
        GuestConfig config;
        config.layout = layout();
        config.model = &cpu::default_model();
        config.kernel.name = "test";
        config.kernel.file = make_kernel(program);
        auto made = Guest::create(std::move(config), {nowhere, nowhere, records, [](u32) {}});
        if (!made) {
            ADD_FAILURE() << made.error().what;
            return;
        }
        guest = std::move(*made);
        EXPECT_EQ(guest->run({1'000'000, 0}).ending, Ending::exit_port);
        for (const hv::ExitRecord& record : records.exits)
            if ((record.raw_reason & 0xffff) == 60) of_encls.push_back(record);
    }

    platform::NullSink nowhere;
    Records records;
    std::unique_ptr<Guest> guest;
    std::vector<hv::ExitRecord> of_encls;
};

TEST(SuspectsHosted, K17_APageFaultOfATrappedLeafIsThatOfItsOperand) {
    constexpr u64 unmapped_bits = 0x4000'0000;  // PAGEINFO of ECREATE, where nothing is mapped
    const BuildingRun run{{.slots = {}, .spoilt_bits = unmapped_bits}};
    ASSERT_FALSE(run.of_encls.empty());
    constexpr auto fault = InterruptionInformation::hardware_exception(Vector::page_fault);
    EXPECT_EQ(run.of_encls.front().injected, fault.to_raw());
    EXPECT_EQ(run.of_encls.front().injected_error_code, 0u) << "a read, not present";
    EXPECT_EQ(run.guest->machine().processor().cr2, operand_at(0) | unmapped_bits);
}

TEST(SuspectsHosted, K18_TheOwnerLearnsWhatOfEcreateWasRefused) {
    const u64 key = SgxAttributeFlags{SgxAttribute::provisionkey}.to_raw();
    const BuildingRun run{{.slots = {}, .more_attributes = key}};
    ASSERT_FALSE(run.of_encls.empty());
    constexpr auto gp = InterruptionInformation::hardware_exception(Vector::general_protection);
    EXPECT_EQ(run.of_encls.front().injected, gp.to_raw()) << "all that the guest learns";
    const hv::SgxRefusal& refusal = run.guest->vm().sgx().last_refusal();
    EXPECT_EQ(refusal.number, 1u);
    EXPECT_EQ(refusal.leaf, EnclsLeaf::ecreate);
    EXPECT_EQ(refusal.verdict.field, hv::SgxField::provision_key);
    EXPECT_EQ(refusal.verdict.asked & key, key);
    EXPECT_EQ(refusal.verdict.allowed & key, 0u);
}

TEST(SuspectsHosted, K20_EcreateAndEinitOfAGuestExitAndTheRestDoesNot) {
    const BuildingRun run{{.slots = {}}};
    EXPECT_EQ(run.guest->port().vmread(VmcsField::encls_exiting_bitmap) & 0xffff, 0b101u);
    ASSERT_EQ(run.of_encls.size(), 2u) << "of eight leaves";
    EXPECT_EQ(run.of_encls[0].rax, static_cast<u64>(EnclsLeaf::ecreate));
    EXPECT_EQ(run.of_encls[1].rax, static_cast<u64>(EnclsLeaf::einit));
}

TEST(SuspectsHosted, K10_TheSameLoadOutsideReachesTheRegisterThatItNames) {
    GuestConfig config;
    Slot slot{.code = touch(platform::doorbell_base + 0x48, {0x8b, 0x10})};
    config.layout = layout();
    config.model = &cpu::default_model();
    config.kernel.name = "test";
    config.kernel.file = make_kernel({.slots = {slot}});
    platform::NullSink nowhere;
    Records records;
    auto guest = Guest::create(std::move(config), {nowhere, nowhere, records, [](u32) {}});
    ASSERT_TRUE(guest.has_value());
    EXPECT_EQ((*guest)->run({1'000'000, 0}).ending, Ending::exit_port);
    ASSERT_EQ((*guest)->devices().doorbell.count(), 1u);
    EXPECT_EQ((*guest)->devices().doorbell.rings()[0].offset, 0x48u);
}

}  // namespace
}  // namespace postern::host
