// SPDX-License-Identifier: Apache-2.0
// ENCLS that exits: who may run what, what the processor is given to run and what becomes of its
// faults (K17), what is remembered of a refusal (K18), operands that change under our eyes, and
// EPC that is another guest's. The processor is of paper: it runs no leaf.
#include <cstring>

#include "arch/sgx/einittoken.h"
#include "arch/sgx/error.h"
#include "arch/sgx/pageinfo.h"
#include "arch/sgx/secs.h"
#include "arch/sgx/sigstruct.h"
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

using host::fake::epc_host;
using host::fake::guest_ram_size;

// Linear is physical for the first 8 MiB, and for the EPC.
constexpr u64 secs_linear = 0x1000'3000;
constexpr u64 source_at = 0x1'0000, pageinfo_at = 0x1'1020, secinfo_at = 0x1'1080;
constexpr u64 sigstruct_at = 0x1'2000, token_at = 0x1'3200;
constexpr u64 length_of_encls = 3;

struct Ran {
    EnclsLeaf leaf;
    EnclsOperands operands;
    std::vector<u8> source, parameters;  // the pages in windows 0 and 1
    std::array<u64, 4> launch_key;       // of the processor then
};

template <class T>
T at(const std::vector<u8>& page, u64 offset) {
    T value;
    std::memcpy(&value, page.data() + offset, sizeof value);
    return value;
}

template <class Processor>
Ran observe(Processor& processor, EnclsLeaf leaf, const EnclsOperands& operands) {
    Ran ran{leaf, operands, {}, {}, {}};
    const auto copy = [&](Hpa page) {
        const u8* const bytes = processor.ram.data() + page.raw();
        return page.raw() == 0 ? std::vector<u8>{} : std::vector<u8>{bytes, bytes + page_size};
    };
    ran.source = copy(operands.window[0]);
    ran.parameters = copy(operands.window[1]);
    for (u32 i = 0; i < 4; ++i) ran.launch_key[i] = processor.msrs[0x8c + i];
    return ran;
}

Secs good_secs() {
    Secs secs{};
    secs.size = 0x10'0000;
    secs.baseaddr = 0x7f00'0000'0000 & ~u64{0xf'ffff};
    secs.ssaframesize = 1;
    secs.attributes = {SgxAttributeFlags{SgxAttribute::mode64bit}, Xcr0Word::from_raw(3)};
    return secs;
}

struct SgxMachine : Machine {
    explicit SgxMachine(const Config& config = default_config()) : Machine{config} {
        processor.on_encls = [this](EnclsLeaf leaf, const EnclsOperands& operands) {
            ran.push_back(observe(processor, leaf, operands));
            return result;
        };
        write64(0x3000 + 8 * 128, 0x1000'0083);  // the EPC
        put(source_at, good_secs());
        put(pageinfo_at, Pageinfo{0, source_at, secinfo_at, 0});
        put(secinfo_at, Secinfo{});
        registers().gpr[rbx] = pageinfo_at;
        registers().gpr[rdx] = token_at;
    }
    GuestRegisters& registers() { return vcpu.registers(); }
    template <class T>
    void put(u64 gpa, const T& value) {
        std::memcpy(processor.ram.data() + guest_ram_host + gpa, &value, sizeof value);
    }
    Next encls(u64 leaf, const ExitInfo& more = {}) {
        ExitInfo info = more;
        info.length = length_of_encls;
        info.rax = leaf;
        if (!info.rcx) info.rcx = secs_linear;
        return normal_exit(BasicReason::encls, info);
    }
    Next ecreate(const ExitInfo& more = {}) { return encls(0, more); }
    Next einit() {
        registers().gpr[rbx] = sigstruct_at;
        return encls(2);
    }
    [[nodiscard]] u64 rip() { return processor.at(VmcsField::guest_rip); }
    [[nodiscard]] const SgxRefusal& refusal() const { return vm.sgx().last_refusal(); }
    void expect_page_fault(u64 address, u32 code) {
        EXPECT_EQ(rip(), kernel_rip);
        EXPECT_EQ(registers().cr2, address);
        expect_exception(injected(), Vector::page_fault, code);
    }
    void expect_gp() {
        EXPECT_EQ(rip(), kernel_rip);
        expect_exception(injected(), Vector::general_protection, 0);
    }

    std::vector<Ran> ran;
    EnclsResult result;
};

u64 bitmap(SgxMachine& machine) { return machine.processor.at(VmcsField::encls_exiting_bitmap); }

TEST(EnclsExit, ALeafThatTheGuestDoesNotHaveIsGp) {
    SgxMachine machine;
    for (const u64 leaf : {u64{0x10}, u64{0x11}, u64{0x18}, u64{0x3f}}) {
        machine.encls(leaf);
        machine.expect_gp();
    }
    EXPECT_TRUE(machine.ran.empty());
}

TEST(EnclsExit, WithoutSgxEveryLeafIsUd) {
    Config config = default_config();
    config.epc = {};
    SgxMachine machine{config};
    EXPECT_EQ(bitmap(machine), ~u64{0});
    machine.ecreate();
    expect_exception(machine.injected(), Vector::invalid_opcode);
    EXPECT_TRUE(machine.ran.empty());
}

TEST(EnclsExit, WithoutPagingItIsGp) {
    SgxMachine machine;
    machine.processor.at(VmcsField::guest_cr0) &= ~u64{1u << 31};
    machine.ecreate();
    machine.expect_gp();
    EXPECT_TRUE(machine.ran.empty());
}

TEST(EnclsExit, AtCpl3ALyingProcessorGetsUdForTheGuest) {
    SgxMachine machine;
    machine.ecreate({.cpl = 3});
    expect_exception(machine.injected(), Vector::invalid_opcode);
    EXPECT_TRUE(machine.ran.empty());
}

TEST(EnclsExit, FeatureControlSwitchedOffTrapsEveryLeafAndIsGp) {
    SgxMachine machine;
    EXPECT_EQ(bitmap(machine), ~u64{0xffff} | 5);
    machine.vm.sgx().set_feature_control(1);
    machine.ecreate();
    EXPECT_EQ(bitmap(machine), ~u64{0}) << "before the entry that follows";
    machine.expect_gp();
    machine.vm.sgx().set_feature_control(0x6'0001);
    machine.ecreate();
    EXPECT_EQ(bitmap(machine), ~u64{0xffff} | 5);
    EXPECT_EQ(machine.ran.size(), 1u);
}

TEST(EnclsExit, ALeafOfTheGuestsOwnIsGivenBackToIt) {
    SgxMachine machine;
    machine.processor.at(VmcsField::encls_exiting_bitmap) = ~u64{0};
    EXPECT_EQ(machine.encls(1), Next::resume);
    EXPECT_EQ(bitmap(machine), ~u64{0xffff} | 5);
    EXPECT_EQ(machine.rip(), kernel_rip);
    EXPECT_FALSE(machine.injected().has_value());
    EXPECT_EQ(machine.count(Anomaly::control_never_set), 1u);
    // A bitmap that was right already, and an exit all the same: no livelock.
    machine.encls(1);
    expect_exception(machine.injected(), Vector::invalid_opcode);
}

TEST(FeatureControl, IsWritableOnlyWhileUnlocked) {
    SgxMachine machine;
    machine.normal_exit(BasicReason::wrmsr, {.length = 2, .rax = 1, .rcx = 0x3a});
    machine.expect_gp();
    machine.vm.sgx().set_feature_control(0);
    machine.registers().gpr[rdx] = 0;
    machine.normal_exit(BasicReason::wrmsr, {.length = 2, .rax = 0x10'0001, .rcx = 0x3a});
    machine.expect_gp();
    machine.normal_exit(BasicReason::wrmsr, {.length = 2, .rax = 0x4'0001, .rcx = 0x3a});
    EXPECT_EQ(machine.vm.sgx().feature_control(), 0x4'0001u);
    EXPECT_EQ(machine.rip(), kernel_rip + 2);
}

TEST(LaunchKey, IsIntelsAtFirstAndFixedWithoutLaunchControl) {
    SgxMachine machine;
    machine.normal_exit(BasicReason::rdmsr, {.length = 2, .rax = 0, .rcx = 0x8c});
    EXPECT_EQ(machine.registers().gpr[rax], 0x1270'b7acu);
    EXPECT_EQ(machine.registers().gpr[rdx], 0xa605'3e05u);
    machine.vm.sgx().set_feature_control(0x4'0001);
    machine.normal_exit(BasicReason::wrmsr, {.length = 2, .rax = 1, .rcx = 0x8c});
    machine.expect_gp();
    machine.normal_exit(BasicReason::rdmsr, {.length = 2, .rax = 0, .rcx = 0x8c});
    EXPECT_EQ(machine.rip(), kernel_rip + 2) << "it can still be read";
}

TEST(Ecreate, RunsOnCopiesAndPassesOverTheInstruction) {
    SgxMachine machine;
    machine.result.rax = 0x99;
    machine.result.rflags = ~u64{0};
    machine.processor.at(VmcsField::guest_rflags) = 0x2;
    EXPECT_EQ(machine.ecreate({.rflags = 0x8d7}), Next::resume);
    EXPECT_EQ(machine.rip(), kernel_rip + length_of_encls);
    EXPECT_EQ(machine.registers().gpr[rax], 0u) << "RAX and flags are not its business";
    EXPECT_EQ(machine.processor.at(VmcsField::guest_rflags), 0x8d7u);
    EXPECT_EQ(machine.record().secs, 0x1000'3000u);
    ASSERT_EQ(machine.ran.size(), 1u);
    const Ran& ran = machine.ran[0];
    EXPECT_EQ(ran.leaf, EnclsLeaf::ecreate);
    EXPECT_EQ(ran.operands.window[2].raw(), epc_host + 0x3000u);
    EXPECT_EQ(ran.operands.rcx, encls_window(2));
    EXPECT_EQ(ran.operands.rbx, encls_window(1));
    const auto info = at<Pageinfo>(ran.parameters, 0);
    EXPECT_EQ(info.linaddr | info.secs, 0u);
    EXPECT_EQ(info.srcpge, encls_window(0));
    EXPECT_EQ(info.secinfo & ~(page_size - 1), encls_window(1));
    EXPECT_EQ(at<Secs>(ran.source, 0).size, 0x10'0000u);
    for (const unsigned window : {0u, 1u}) {
        const u64 page = ran.operands.window[window].raw();
        EXPECT_TRUE(page < guest_ram_host || page >= guest_ram_host + guest_ram_size);
    }
}

TEST(Ecreate, K18_ARefusalIsKeptWithWhatWasAskedAndAllowed) {
    SgxMachine machine;
    EXPECT_EQ(machine.refusal().number, 0u);
    Secs secs = good_secs();
    secs.attributes.flags.set(SgxAttribute::provisionkey);
    machine.put(source_at, secs);
    machine.processor.now = 5;
    machine.ecreate();
    EXPECT_TRUE(machine.ran.empty());
    EXPECT_EQ(machine.refusal().verdict, (SgxVerdict{SgxField::provision_key, 0x14, 0xa6}));
    EXPECT_EQ(machine.refusal().leaf, EnclsLeaf::ecreate);
    EXPECT_EQ(machine.refusal().secs, 0x1000'3000u);
    EXPECT_EQ(machine.refusal().rip, kernel_rip);
    EXPECT_EQ(machine.refusal().cr3, 0x1000u);
    EXPECT_EQ(machine.refusal().number, 1u);
    machine.expect_gp();
    secs = good_secs();
    secs.size = u64{1} << 60;
    machine.put(source_at, secs);
    machine.ecreate();
    EXPECT_EQ(machine.refusal().verdict, (SgxVerdict{SgxField::size, u64{1} << 60, u64{1} << 56}));
    EXPECT_EQ(machine.refusal().number, 2u);
}

TEST(Ecreate, TheProvisioningKeyIsThereByGrant) {
    Config config = default_config();
    config.provision_key = true;
    SgxMachine machine{config};
    Secs secs = good_secs();
    secs.attributes.flags.set(SgxAttribute::provisionkey);
    machine.put(source_at, secs);
    machine.ecreate();
    EXPECT_EQ(machine.ran.size(), 1u);
    EXPECT_EQ(machine.refusal().number, 0u);
}

TEST(Ecreate, WithoutTheProtectionAnythingPasses) {
    SgxMachine machine{without(Protection::sgx_policy)};
    Secs secs = good_secs();
    secs.attributes.flags.set(SgxAttribute::provisionkey);
    machine.put(source_at, secs);
    machine.ecreate();
    ASSERT_EQ(machine.ran.size(), 1u);
    EXPECT_TRUE(
        at<Secs>(machine.ran[0].source, 0).attributes.flags.has(SgxAttribute::provisionkey));
}

TEST(Ecreate, WhatXcr0CannotHaveIsRefusedThoughCpuid12HOffersIt) {
    SgxMachine machine;
    machine.processor.cpuid_leaves[{0xd, 0}].eax = 3;
    Secs secs = good_secs();
    secs.attributes.xfrm = Xcr0Word::from_raw(7);
    machine.put(source_at, secs);
    machine.ecreate();
    EXPECT_EQ(machine.refusal().verdict, (SgxVerdict{SgxField::xfrm_xcr0, 7, 3}));
}

struct BadOperand {
    const char* what;
    void (*change)(SgxMachine&);
    u64 rcx = secs_linear;
    SgxVerdict verdict;
};

TEST(Ecreate, EachOperandThatIsNoneIsGp) {
    constexpr u64 wild = u64{1} << 50;
    const BadOperand rows[]{
        {"PAGEINFO misaligned",
         [](SgxMachine& m) { m.registers().gpr[rbx] += 8; },
         secs_linear,
         {SgxField::operand, pageinfo_at + 8, 32}},
        {"PAGEINFO not canonical",
         [](SgxMachine& m) { m.registers().gpr[rbx] = wild; },
         secs_linear,
         {SgxField::operand, wild, 32}},
        {"SECS misaligned",
         [](SgxMachine&) {},
         secs_linear + 64,
         {SgxField::operand, secs_linear + 64, 4096}},
        {"source misaligned",
         [](SgxMachine& m) { m.put(pageinfo_at, Pageinfo{0, source_at + 32, secinfo_at, 0}); },
         secs_linear,
         {SgxField::operand, source_at + 32, 4096}},
        {"SECINFO misaligned",
         [](SgxMachine& m) { m.put(pageinfo_at, Pageinfo{0, source_at, secinfo_at + 32, 0}); },
         secs_linear,
         {SgxField::operand, secinfo_at + 32, 64}},
        {"LINADDR",
         [](SgxMachine& m) { m.put(pageinfo_at, Pageinfo{8, source_at, secinfo_at, 0}); },
         secs_linear,
         {SgxField::pageinfo, 8, 0}},
        {"SECS",
         [](SgxMachine& m) { m.put(pageinfo_at, Pageinfo{0, source_at, secinfo_at, 9}); },
         secs_linear,
         {SgxField::pageinfo, 9, 0}},
        {"SECINFO of a TCS",
         [](SgxMachine& m) { m.put(secinfo_at, u64{0x100}); },
         secs_linear,
         {SgxField::secinfo, 0x100, 0}},
        {"SECINFO reserved",
         [](SgxMachine& m) { m.put(secinfo_at + 60, u32{1}); },
         secs_linear,
         {SgxField::secinfo, 0, 0}},
        {"PAGEINFO in the EPC",
         [](SgxMachine& m) { m.registers().gpr[rbx] = 0x1000'5000; },
         secs_linear,
         {SgxField::operand, ~u64{0}, 4096}},
    };
    for (const BadOperand& row : rows) {
        SCOPED_TRACE(row.what);
        SgxMachine machine;
        row.change(machine);
        machine.ecreate({.rcx = row.rcx});
        EXPECT_TRUE(machine.ran.empty());
        EXPECT_EQ(machine.refusal().verdict, row.verdict);
        machine.expect_gp();
    }
}

TEST(Ecreate, K19_OutsideOf64BitModeOperandsLieInDs) {
    SgxMachine machine;
    machine.processor.at(VmcsField::guest_cs_access_rights) = 0xc09b;  // compatibility mode
    machine.processor.at(VmcsField::guest_ds_base) = 0x1'0000;
    machine.processor.at(VmcsField::guest_ds_limit) = 0xffff'ffff;
    machine.registers().gpr[rbx] = 0xdead'0000'0000'0000 | (pageinfo_at - 0x1'0000);
    machine.put(pageinfo_at, Pageinfo{0, source_at - 0x1'0000, secinfo_at - 0x1'0000, 0});
    machine.ecreate({.rcx = secs_linear - 0x1'0000});
    ASSERT_EQ(machine.ran.size(), 1u);
    EXPECT_EQ(machine.ran[0].operands.window[2].raw(), epc_host + 0x3000u);

    machine.processor.at(VmcsField::guest_ds_limit) = 0x1000;  // the source page needs up to FFFH,
    machine.ecreate({.rcx = secs_linear - 0x1'0000});          // PAGEINFO more than that
    EXPECT_EQ(machine.ran.size(), 1u);
    EXPECT_EQ(machine.refusal().verdict.field, SgxField::operand);
}

constexpr u64 page_table = 0x3'0000;

/// Maps the first 2 MiB by pages of 4 KiB, and takes one of them away.
void unmap(SgxMachine& machine, u64 linear) {
    for (u64 i = 0; i < 512; ++i) machine.write64(page_table + 8 * i, i << 12 | 3);
    machine.write64(page_table + 8 * (linear >> 12), 0);
    machine.write64(0x3000, page_table | 3);
}

TEST(Ecreate, K17_AnOperandThatIsNotMappedIsItsOwnPageFault) {
    const struct {
        u64 pageinfo, source, secinfo, missing;
    } rows[]{{0x1'4020, 0x1'5000, 0x1'6040, 0x1'4020},
             {0x1'4020, 0x1'5000, 0x1'6040, 0x1'5000},
             {0x1'4020, 0x1'5000, 0x1'6040, 0x1'6040}};
    for (const auto& row : rows) {
        SgxMachine machine;
        machine.registers().gpr[rbx] = row.pageinfo;
        machine.put(row.source, good_secs());
        machine.put(row.pageinfo, Pageinfo{0, row.source, row.secinfo, 0});
        unmap(machine, row.missing);
        machine.ecreate();
        EXPECT_TRUE(machine.ran.empty());
        machine.expect_page_fault(row.missing, 0);
    }
}

TEST(Ecreate, K17_TheSecsPageIsWrittenAndMustBeTheGuestsEpc) {
    SgxMachine machine;
    machine.ecreate({.rcx = 0x2000'0000});  // not mapped
    machine.expect_page_fault(0x2000'0000, 2);
    machine.ecreate({.rcx = 0x1'7000});  // RAM
    machine.expect_page_fault(0x1'7000, 0x8003);
    machine.write64(0x3000 + 8 * 128, 0x1000'0081);  // read-only
    machine.processor.at(VmcsField::guest_cr0) |= 1u << 16;
    machine.ecreate();
    machine.expect_page_fault(secs_linear, 3);
    EXPECT_TRUE(machine.ran.empty());
}

TEST(Ecreate, K17_ATableThatLiesNowhereReadsAsAllOnes) {
    SgxMachine machine;
    machine.write64(0x2000, nowhere.raw() | 3);
    machine.ecreate();
    machine.expect_page_fault(secs_linear, 0xb);
    machine.write64(0x2000, 0x3003);
    machine.write64(0x3000, epc_base.raw() | 3);
    machine.ecreate();
    machine.expect_page_fault(pageinfo_at, 9);
    EXPECT_TRUE(machine.ran.empty());
}

TEST(Ecreate, SmapKeepsItsOperandsFromUserPagesUnlessAcIsSet) {
    SgxMachine machine;
    machine.processor.at(VmcsField::guest_cr4) |= 1u << 21;
    machine.write64(0x3000 + 8 * 128, 0x1000'0087);
    machine.ecreate();
    machine.expect_page_fault(secs_linear, 3);
    EXPECT_TRUE(machine.ran.empty());
    machine.ecreate({.rflags = 0x4'0002});
    EXPECT_EQ(machine.ran.size(), 1u);
}

TEST(Ecreate, ProtectionKeysHoldForItsOperands) {
    SgxMachine machine;
    machine.write64(0x3000 + 8 * 128, 0x1000'0087 | u64{3} << 59);
    machine.processor.guest_pkru = 1u << 6;
    machine.processor.at(VmcsField::guest_cr4) |= 1u << 22;
    machine.ecreate();
    machine.expect_page_fault(secs_linear, 0x23);
    EXPECT_TRUE(machine.ran.empty());
    machine.processor.at(VmcsField::guest_cr4) &= ~u64{1u << 22};
    machine.ecreate();
    EXPECT_EQ(machine.ran.size(), 1u);
}

TEST(Ecreate, K17_TheProcessorsFaultKeepsItsErrorCodeAndGetsTheGuestsAddress) {
    const struct {
        u64 host, guest;
    } rows[]{{encls_window(2), secs_linear},
             {encls_window(0) + 0x123, source_at + 0x123},
             {encls_window(1) + 8, pageinfo_at + 8},
             {encls_window(1) + 64 + 5, secinfo_at + 5}};
    for (const auto& row : rows)
        for (const u32 code : {0x8003u, 0x8001u}) {
            SgxMachine machine;
            machine.result = {
                .faulted = true, .vector = 14, .error_code = code, .address = row.host};
            machine.ecreate();
            machine.expect_page_fault(row.guest, code);
        }
}

TEST(Ecreate, AGpOfTheProcessorsIsPassedOnAndKept) {
    SgxMachine machine;
    machine.result = {.faulted = true, .vector = 13};
    machine.ecreate();
    EXPECT_EQ(machine.refusal().verdict, (SgxVerdict{SgxField::processor, 13, 0}));
    machine.expect_gp();
}

TEST(Ecreate, AFaultOnAPageOfOursStopsTheGuestAndIsNotBlamedOnIt) {
    for (const EnclsResult& broken :
         {EnclsResult{.faulted = true, .vector = 14, .error_code = 2, .address = encls_window(0)},
          EnclsResult{.faulted = true, .vector = 14, .error_code = 0x8003, .address = 0x1000}}) {
        SgxMachine machine;
        machine.result = broken;
        EXPECT_EQ(machine.ecreate(), Next::stop);
        EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::sgx_operand);
    }
}

TEST(Einit, RunsWithTheGuestsLaunchKeyAndHandsTheCodeThrough) {
    SgxMachine machine;
    for (u64 i = 0; i < 4; ++i)
        machine.normal_exit(BasicReason::wrmsr, {.length = 2, .rax = 0x10 + i, .rcx = 0x8c + i});
    Sigstruct signature{};
    signature.date = 0x2026'1122;
    machine.put(sigstruct_at, signature);
    Einittoken token{};
    token.isvsvnle = 0x55;
    machine.put(token_at, token);
    for (const auto& [code, flags] : {std::pair{16u, 0x40u}, {0u, 0u}, {128u, 0x40u}}) {
        machine.result = {};
        machine.result.rax = code;
        machine.result.rflags = flags | 2;
        machine.registers().gpr[rbx] = sigstruct_at;
        machine.encls(2, {.rflags = 0x8d7});
        EXPECT_EQ(machine.registers().gpr[rax], code);
        EXPECT_EQ(machine.processor.at(VmcsField::guest_rflags), 0x2u | flags);
        EXPECT_EQ(machine.rip(), kernel_rip + length_of_encls);
    }
    ASSERT_EQ(machine.ran.size(), 3u);
    const Ran& ran = machine.ran[0];
    EXPECT_EQ(ran.leaf, EnclsLeaf::einit);
    EXPECT_EQ(at<Sigstruct>(ran.source, 0).date, 0x2026'1122u);
    EXPECT_EQ(ran.operands.rbx, encls_window(0));
    EXPECT_EQ(ran.operands.rdx & (page_size - 1), 0x200u);
    EXPECT_EQ(at<Einittoken>(ran.parameters, ran.operands.rdx & (page_size - 1)).isvsvnle, 0x55u);
    for (u32 i = 0; i < 4; ++i) EXPECT_EQ(ran.launch_key[i] & 0xffff'ffff, 0x10 + i);
}

TEST(Einit, K17_FaultsAreThoseOfTheOperand) {
    const struct {
        u64 host, guest;
    } rows[]{{encls_window(2) + 16, secs_linear + 16},
             {encls_window(0) + 0x400, sigstruct_at + 0x400},
             {encls_window(1) + 0x210, token_at + 0x10}};
    for (const auto& row : rows) {
        SgxMachine machine;
        machine.result = {.faulted = true, .vector = 14, .error_code = 0x8003, .address = row.host};
        machine.einit();
        machine.expect_page_fault(row.guest, 0x8003);
    }
    for (const u64 missing : {sigstruct_at, token_at}) {
        SgxMachine machine;
        unmap(machine, missing);
        machine.einit();
        machine.expect_page_fault(missing, 0);
        EXPECT_TRUE(machine.ran.empty());
    }
}

TEST(Einit, MisalignedOperandsAreGp) {
    for (const unsigned operand : {0u, 1u, 2u}) {
        SgxMachine machine;
        machine.registers().gpr[rbx] = sigstruct_at + (operand == 0 ? 512 : 0);
        machine.registers().gpr[rdx] = token_at + (operand == 2 ? 256 : 0);
        machine.encls(2, {.rcx = secs_linear + (operand == 1 ? 32 : 0)});
        EXPECT_TRUE(machine.ran.empty());
        machine.expect_gp();
    }
}

/// Another processor of the guest changes its memory: at the n-th look at a page of it.
struct ChangingProcessor : FakeProcessor {
    u8* page(Hpa address) override {
        u8* const bytes = FakeProcessor::page(address);
        const u64 base = address.page().raw();
        const bool of_guest = base >= guest_ram_host && base < guest_ram_host + guest_ram_size;
        if (of_guest && change && looks++ == change_at) change();
        return bytes;
    }
    size_t looks = 0, change_at = 0;
    std::function<void()> change;
};

struct ChangingMachine {
    ChangingMachine() {
        EXPECT_TRUE(vm.add_memory({Gpa{0}, guest_ram_size, SlotKind::ram, Hpa{guest_ram_host}}));
        EXPECT_TRUE(vm.add_memory({epc_base, 1u << 20, SlotKind::epc, Hpa{epc_host}}));
        put(0x1000, u64{0x2003});
        put(0x2000, u64{0x3003});
        for (u64 i = 0; i < 4; ++i) put(0x3000 + 8 * i, i << 21 | 0x83);
        put(epc_entry, epc_mapping);
        put(source_at, good_secs());
        put(pageinfo_at, Pageinfo{0, source_at, secinfo_at, 0});
        StartState start;
        start.rip = kernel_rip;
        start.cr3 = 0x1000;
        EXPECT_TRUE(vcpu.start(start));
        processor.on_encls = [this](EnclsLeaf leaf, const EnclsOperands& operands) {
            ran.push_back(observe(processor, leaf, operands));
            return EnclsResult{};
        };
    }
    void put(u64 gpa, const auto& value) {
        std::memcpy(processor.ram.data() + guest_ram_host + gpa, &value, sizeof value);
    }
    Next ecreate(size_t change_at, std::function<void()> change) {
        processor.looks = 0;
        processor.change_at = change_at;
        processor.change = std::move(change);
        vcpu.registers().gpr[rbx] = pageinfo_at;
        processor.exits_with(ExitReason{BasicReason::encls},
                             {.length = length_of_encls, .rax = 0, .rcx = secs_linear});
        return vcpu.run_once();
    }

    static constexpr u64 epc_entry = 0x3000 + 8 * 128, epc_mapping = 0x1000'0083;
    ChangingProcessor processor;
    FakeDevices devices;
    FakeWatcher watcher;
    Vm vm{processor, devices, watcher, default_config()};
    Vcpu vcpu{processor, vm};
    std::vector<Ran> ran;
};

TEST(Ecreate, WhatIsJudgedIsWhatRunsWheneverTheGuestChangesItsMemory) {
    size_t refused = 0, allowed = 0;
    for (size_t change_at = 0; change_at < 60; ++change_at) {
        ChangingMachine machine;
        const Next next = machine.ecreate(change_at, [&] {
            Secs greedy = good_secs();
            greedy.attributes.flags.set(SgxAttribute::provisionkey);
            machine.put(source_at, greedy);
            machine.put(pageinfo_at, Pageinfo{0x1234, 0x1'8000, 0x1'9000, 0x5678});
        });
        ASSERT_EQ(next, Next::resume);
        if (machine.ran.empty()) {
            EXPECT_NE(machine.vm.sgx().last_refusal().number, 0u);
            ++refused;
            continue;
        }
        ++allowed;
        const Ran& ran = machine.ran[0];
        EXPECT_FALSE(at<Secs>(ran.source, 0).attributes.flags.has(SgxAttribute::provisionkey));
        EXPECT_EQ(at<Pageinfo>(ran.parameters, 0).srcpge, encls_window(0));
        EXPECT_EQ(at<Pageinfo>(ran.parameters, 0).linaddr, 0u);
        EXPECT_EQ(at<Pageinfo>(ran.parameters, 0).secs, 0u);
    }
    EXPECT_GT(refused, 0u) << "an early change is seen";
    EXPECT_GT(allowed, 0u) << "a late one does not matter";
}

TEST(Ecreate, ATableThatChangesWhileItIsReadLetsTheInstructionRunAgain) {
    size_t again = 0, once = 0;
    for (size_t change_at = 0; change_at < 60; ++change_at) {
        ChangingMachine machine;
        const auto change = [&] { machine.put(machine.epc_entry, machine.epc_mapping | 1u << 9); };
        ASSERT_EQ(machine.ecreate(change_at, change), Next::resume);
        const u64 rip = machine.processor.at(VmcsField::guest_rip);
        if (!machine.ran.empty()) {
            EXPECT_EQ(rip, kernel_rip + length_of_encls);
            ++once;
            continue;
        }
        ++again;
        EXPECT_EQ(rip, kernel_rip);
        EXPECT_EQ(machine.vcpu.last_exit().action, Action::retried);
        EXPECT_EQ(machine.vm.sgx().last_refusal().number, 0u);
        ASSERT_EQ(machine.ecreate(0, {}), Next::resume);
        EXPECT_FALSE(machine.processor.injections.back().has_value());
        EXPECT_EQ(machine.ran.size(), 1u);
    }
    EXPECT_GT(again, 0u) << "between the reading of the entry and its flags";
    EXPECT_GT(once, 0u);
}

TEST(EpcOfTwoGuests, NeitherReachesTheOthers) {
    FakeProcessor processor;
    FakeDevices devices;
    FakeWatcher watcher;
    Config first = default_config(), second = default_config();
    second.pool = {Hpa{7u << 20}, 128};
    Vm one{processor, devices, watcher, first}, two{processor, devices, watcher, second};
    constexpr u64 size = 1u << 20;
    ASSERT_TRUE(one.add_memory({epc_base, size, SlotKind::epc, Hpa{epc_host}}));
    ASSERT_TRUE(two.add_memory({epc_base, size, SlotKind::epc, Hpa{epc_host + size}}));
    std::vector<u64> removed;
    processor.on_encls = [&](EnclsLeaf leaf, const EnclsOperands& operands) {
        EXPECT_EQ(leaf, EnclsLeaf::eremove);
        EXPECT_EQ(operands.rcx, encls_window(2));
        removed.push_back(operands.window[2].raw());
        return EnclsResult{};
    };
    const EpcScrub scrub = one.scrub_epc();
    EXPECT_EQ(scrub.pages, 256u);
    EXPECT_EQ(scrub.left, 0u);
    EXPECT_EQ(removed.size(), 256u);
    for (const u64 page : removed) EXPECT_LT(page, epc_host + size);
    removed.clear();
    static_cast<void>(two.scrub_epc());
    for (const u64 page : removed) EXPECT_GE(page, epc_host + size);
}

TEST(EpcOfTwoGuests, ASlotBeyondTheMachinesEpcIsRefused) {
    FakeProcessor processor;  // has 16 MiB of it
    FakeDevices devices;
    FakeWatcher watcher;
    Vm vm{processor, devices, watcher, default_config()};
    const auto add = [&](u64 host, u64 size) {
        return vm.add_memory({Gpa{0x1'0000'0000 + host}, size, SlotKind::epc, Hpa{host}});
    };
    EXPECT_FALSE(add(epc_host - page_size, page_size));
    EXPECT_FALSE(add(epc_host - page_size, 2 * page_size));
    EXPECT_FALSE(add(epc_host + (16u << 20), page_size));
    EXPECT_FALSE(add(epc_host + (15u << 20), (1u << 20) + page_size));
    EXPECT_FALSE(add(guest_ram_host, page_size)) << "RAM";
    EXPECT_TRUE(add(epc_host + (15u << 20), 1u << 20));
}

TEST(EpcScrub, ChildrenGoFirstAndWhatStaysIsReported) {
    SgxMachine machine;
    unsigned calls = 0;
    // Page 0: a SECS with children in the first pass; 1: a thread is inside; 2: faults.
    machine.processor.on_encls = [&](EnclsLeaf, const EnclsOperands& operands) {
        const u64 page = (operands.window[2].raw() - epc_host) / page_size;
        const bool first_pass = calls++ < 256;
        EnclsResult result;
        if (page == 0 && first_pass) result.rax = static_cast<u64>(SgxError::child_present);
        if (page == 1) result.rax = static_cast<u64>(SgxError::enclave_act);
        if (page == 2) result = {.faulted = true, .vector = 13};
        return result;
    };
    const EpcScrub scrub = machine.vm.scrub_epc();
    EXPECT_EQ(calls, 2 * (255u + 64u)) << "a fault may be a conflict: it is tried again";
    EXPECT_EQ(scrub.pages, 256u);
    EXPECT_EQ(scrub.left, 2u);
    EXPECT_EQ(scrub.in_use, 1u);
    EXPECT_EQ(scrub.parents, 0u);
    EXPECT_EQ(scrub.faults, 1u);
    EXPECT_EQ(scrub.first_left.raw(), epc_base.raw() + page_size);
}

TEST(EpcScrub, AConflictThatPassesLeavesNothing) {
    SgxMachine machine;
    unsigned calls = 0;
    machine.processor.on_encls = [&](EnclsLeaf, const EnclsOperands&) {
        return ++calls % 3 == 0 ? EnclsResult{} : EnclsResult{.faulted = true, .vector = 13};
    };
    const EpcScrub scrub = machine.vm.scrub_epc();
    EXPECT_EQ(calls, 3 * 256u);
    EXPECT_EQ(scrub.left, 0u);
    EXPECT_EQ(scrub.faults, 0u);
}

TEST(EpcScrub, AResetEmptiesTheEpcAndLocksTheFeatures) {
    SgxMachine machine;
    unsigned calls = 0;
    machine.processor.on_encls = [&](EnclsLeaf, const EnclsOperands&) {
        ++calls;
        return EnclsResult{};
    };
    const u64 at_start = machine.vm.sgx().feature_control();
    machine.vm.enclaves().created(epc_base, Gva{0x10'0000}, 0x1000, 0x1000);
    machine.vm.sgx().set_feature_control(0);
    EXPECT_EQ(machine.vm.reset().pages, 256u);
    EXPECT_EQ(calls, 256u);
    EXPECT_EQ(machine.vm.sgx().feature_control(), at_start);
    EXPECT_EQ(machine.vm.enclaves().find(0x10'0000, 0x1000), nullptr) << "it is gone";
    EXPECT_EQ(machine.vm.enclaves().entries().size(), 1u) << "its counters are not";
}

TEST(EpcScrub, WithoutItAResetLeavesTheEpcAlone) {
    SgxMachine machine{without(Protection::epc_scrub)};
    machine.processor.on_encls = [&](EnclsLeaf, const EnclsOperands&) {
        ADD_FAILURE() << "ENCLS";
        return EnclsResult{};
    };
    machine.vm.enclaves().created(epc_base, Gva{0x10'0000}, 0x1000, 0x1000);
    EXPECT_EQ(machine.vm.reset().pages, 0u);
    EXPECT_NE(machine.vm.enclaves().find(0x10'0000, 0x1000), nullptr);
}

}  // namespace
}  // namespace postern::hv::test
