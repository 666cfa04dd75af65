// SPDX-License-Identifier: Apache-2.0
// SGX outside 64-bit mode: 32-bit enclaves under compatibility mode and under protected mode with
// PAE paging, built by ENCLS of 32-bit code and run by the run loop.
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "cpu/flags.h"
#include "cpu/run.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

enum class Mode { compatibility, legacy };

constexpr u32 user_fault = sgx_fault(true, true), kernel_fault = sgx_fault(true, false);
constexpr u64 pae_pdpt_at = 0x7000;
constexpr u64 idt = 0x3'0000, gdt = 0x3'1000, tss = 0x3'2000, handler_stack = 0x4'0000;
constexpr u64 handlers = 0x10'0000;  // of vector n: 16 * n further
constexpr u64 outer_esp = 0x1a'0000, outer_ebp = 0x1b'0000;
constexpr u64 entry_point = elrange + code_offset + 0x10;
constexpr u64 garbage = 0xdead'beef'0000'0000;  // what upper halves may hold

// Selectors, and the descriptors at them: flat, of 32 bits, but for the kernel's of IA-32e mode.
constexpr u16 kernel_code = 0x08, kernel_data = 0x18, user_data = 0x2b, user_code = 0x33;
constexpr u64 code64_dpl0 = 0x00af'9b00'0000'ffff, code32_dpl0 = 0x00cf'9b00'0000'ffff;
constexpr u64 data_dpl0 = 0x00cf'9300'0000'ffff;
constexpr u64 code32_dpl3 = 0x00cf'fb00'0000'ffff, data_dpl3 = 0x00cf'f300'0000'ffff;

struct Narrow : EnclaveMachine {
    explicit Narrow(Mode mode_of_processor) : mode{mode_of_processor} {
        attributes = {SgxAttribute::debug};
        if (mode == Mode::legacy) leave_ia32e_mode();
        prepare_tables();
        c.gpr[rsp] = garbage | outer_esp;
        c.gpr[rbp] = garbage | outer_ebp;
        c.dr6 = 0xffff'0ff0;
        c.dr7 = 0x400;
        set_rflags(c, 2);
        as_kernel32();
    }

    const Mode mode;

    void as_kernel32() { use_segments(0, kernel_code, 0xc09b, kernel_data, 0xc093); }
    void as_user32() { use_segments(3, user_code, 0xc0fb, user_data, 0xc0f3); }
    void build_32() {
        build();
        prepare_einit();
        ASSERT_TRUE(einit().ok());
        ASSERT_EQ(c.gpr[rax], 0u);
        as_user32();
    }
    void ready_to_enter() {
        build_32();
        c.gpr[rax] = garbage | 2;
        c.gpr[rbx] = garbage | (elrange + tcs_offset);
        c.gpr[rcx] = garbage | aep;
        c.rip = outside_rip;
        c.next_rip = outside_rip + 3;
        c.pending = {};
    }
    void go_inside_32() {
        ready_to_enter();
        ASSERT_TRUE(sgx::enclu(c).ok());
        c.rip = entry_point;
    }
    void ready_to_resume() {
        go_inside_32();
        asynchronous_exit(c, {});
        c.rip = aep;
        c.next_rip = aep + 3;
        c.pending = {};
    }
    void outside_code(u64 at_address, std::initializer_list<u8> bytes) {
        std::ranges::copy(bytes, &at<u8>(at_address));
    }
    /// At the enclave's entry point.
    void enclave_code(std::initializer_list<u8> bytes) {
        std::ranges::copy(bytes, epc.page(code_page) + 0x10);
    }

private:
    void use_segments(u32 cpl, u16 code, u32 code_rights, u16 data, u32 data_rights) {
        c.cpl = cpl;
        c.segment[cs] = {code, 0, code_rights, 0xffff'ffff, 0, 0};
        c.segment[ss] = c.segment[ds] = c.segment[es] = {data, 0, data_rights, 0xffff'ffff, 0, 0};
        flush_translations(c);
    }
    /// PAE: the page directories are those of 4-level paging.
    void leave_ia32e_mode() {
        c.efer = {Efer::nxe};
        for (unsigned n = 0; n < 2; ++n)
            c.pdpte[n] = at<u64>(pae_pdpt_at + 8 * n) = u64{0x3000} + 0x1000 * n + 1;
        c.cr3 = pae_pdpt_at;
    }
    void prepare_tables() {
        const bool legacy = mode == Mode::legacy;
        at<u64>(gdt + kernel_code) = legacy ? code32_dpl0 : code64_dpl0;
        at<u64>(gdt + kernel_data) = data_dpl0;
        at<u64>(gdt + (user_data & 0xf8)) = data_dpl3;
        at<u64>(gdt + (user_code & 0xf8)) = code32_dpl3;
        for (u64 n = 0; n < 32; ++n) {
            const u64 offset = handlers + 16 * n;
            const u64 gate =
                (offset & 0xffff) | u64{kernel_code} << 16 | u64{0x8e} << 40 | (offset >> 16) << 48;
            at<u64>(idt + (legacy ? 8 : 16) * n) = gate;
        }
        at<u32>(tss + 4) = handler_stack;             // ESP0, RSP0
        at<u32>(tss + 8) = legacy ? kernel_data : 0;  // SS0, the upper half of RSP0
        c.idtr = {idt, 0xfff};
        c.gdtr = {gdt, 0x3f};
        c.segment[tr] = {0x10, 0, 0x8b, 0x67, 0, tss};
    }
};

void expect_fault_only(Narrow& m, Result<> (*instruction)(Cpu&), const Fault& fault) {
    // What the upper halves of the operands hold is undefined.
    for (const Gpr n : {rbx, rcx, rdx}) m.c.gpr[n] = static_cast<u32>(m.c.gpr[n]);
    const State before{m};
    EXPECT_FALSE(instruction(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), fault);
    EXPECT_TRUE(State{m} == before);
}

constexpr Mode modes[] = {Mode::compatibility, Mode::legacy};
constexpr auto name_of_mode = [](Mode mode) {
    return std::string{mode == Mode::legacy ? "Legacy" : "Compatibility"};
};

struct NarrowViolation {
    const char* name;
    void (*arrange)(Narrow&);
    Fault fault;
};
using Case = std::tuple<NarrowViolation, Mode>;
const auto name_of_case = [](const auto& test) {
    return std::string{std::get<0>(test.param).name} + name_of_mode(std::get<1>(test.param));
};

// ENCLS.

class Encls32 : public testing::TestWithParam<Mode> {};
INSTANTIATE_TEST_SUITE_P(Sgx32, Encls32, testing::ValuesIn(modes),
                         [](const auto& test) { return name_of_mode(test.param); });

void ready_to_create(Narrow& m) {
    m.prepare_ecreate();
    m.c.gpr[rax] = 0;
    m.c.gpr[rbx] = pageinfo_at;
    m.c.gpr[rcx] = window_of(secs_page);
    m.c.gpr[rdx] = 0;
    m.c.pending = {};
}

TEST_P(Encls32, IgnoresTheUpperHalvesOfItsRegisters) {
    Narrow m{GetParam()};
    ready_to_create(m);
    for (const Gpr n : {rax, rbx, rcx, rdx}) m.c.gpr[n] |= garbage;
    m.at<Pageinfo>(pageinfo_at).srcpge |= garbage;
    m.at<Pageinfo>(pageinfo_at).secinfo |= garbage;
    EXPECT_TRUE(sgx::encls(m.c).ok());
    EXPECT_TRUE(m.entry(secs_page).valid);
}

TEST_P(Encls32, AddsTheBaseOfDsToEachEffectiveAddress) {
    Narrow m{GetParam()};
    ready_to_create(m);
    m.c.segment[ds].base = 0x1'0000;
    m.at<Pageinfo>(pageinfo_at) = {0, source_at - 0x1'0000, secinfo_at - 0x1'0000, 0};
    m.c.gpr[rbx] = pageinfo_at - 0x1'0000;
    m.c.gpr[rcx] = window_of(secs_page) - 0x1'0000;
    ASSERT_TRUE(sgx::encls(m.c).ok());
    EXPECT_TRUE(m.entry(secs_page).valid);

    m.c.gpr[rcx] = source_at - 0x1'0000;
    EXPECT_FALSE(sgx::encls(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), pf(source_at, kernel_fault));
}

TEST_P(Encls32, WrapsAddressesAt4GiB) {
    Narrow m{GetParam()};
    ready_to_create(m);
    m.c.segment[ds].base = 0xffff'0000;
    m.at<Pageinfo>(pageinfo_at) = {0, source_at + 0x1'0000, secinfo_at + 0x1'0000, 0};
    m.c.gpr[rbx] = pageinfo_at + 0x1'0000;
    m.c.gpr[rcx] = window_of(secs_page) + 0x1'0000;
    EXPECT_TRUE(sgx::encls(m.c).ok());
}

TEST_P(Encls32, Of16BitCodeHas32BitAddresses) {
    Narrow m{GetParam()};
    ready_to_create(m);
    m.c.segment[cs].access_rights = 0x009b;
    EXPECT_TRUE(sgx::encls(m.c).ok());
}

TEST_P(Encls32, BuildsAnEnclaveOfEitherKind) {
    Narrow narrow{GetParam()};
    narrow.build_32();
    EXPECT_EQ(narrow.secs().attributes.flags.to_raw(), 0x3u);  // INIT, DEBUG
    EXPECT_EQ(narrow.secs().mrenclave, narrow.expected_mrenclave());
    Narrow wide{GetParam()};
    wide.attributes.set(SgxAttribute::mode64bit);
    wide.build_32();
    EXPECT_EQ(wide.secs().attributes.flags.to_raw(), 0x7u);
}

class Encls32Violation : public testing::TestWithParam<Case> {};

TEST_P(Encls32Violation, FaultsAndChangesNothing) {
    const auto& [violation, mode] = GetParam();
    Narrow m{mode};
    ready_to_create(m);
    violation.arrange(m);
    expect_fault_only(m, sgx::encls, violation.fault);
}

constexpr NarrowViolation encls_violations[] = {
    {"DsExpandsDown", [](Narrow& m) { m.c.segment[ds].access_rights |= 4; }, gp0},
    {"DsUnusable", [](Narrow& m) { m.c.segment[ds].access_rights = 0x1'0000; }, gp0},
    {"PageinfoBeyondDs", [](Narrow& m) { m.c.segment[ds].limit = 0x1'001e; }, gp0},
    {"PageBeyondDs", [](Narrow& m) { m.c.segment[ds].limit = 0x1f'ffff; }, gp0},
    {"SourceBeyondDs",
     [](Narrow& m) {
         // The window begins at 1 GiB: the source page is all that lies above it.
         m.at<Pageinfo>(pageinfo_at).srcpge = 0x4030'0000;
         m.c.segment[ds].limit = 0x402f'ffff;
     },
     gp0},
    {"SecinfoBeyondDs",
     [](Narrow& m) {
         m.at<Pageinfo>(pageinfo_at).secinfo = 0x4030'0000;
         m.c.segment[ds].limit = 0x402f'ffff;
     },
     gp0},
    {"PageinfoNotAlignedByTheBase",
     [](Narrow& m) {
         m.c.segment[ds].base = 8;
         m.c.gpr[rbx] -= 0x20;
     },
     gp0},
};
INSTANTIATE_TEST_SUITE_P(Sgx32, Encls32Violation,
                         testing::Combine(testing::ValuesIn(encls_violations),
                                          testing::ValuesIn(modes)),
                         name_of_case);

TEST_P(Encls32, DebugLeavesMoveFourBytes) {
    Narrow m{GetParam()};
    m.build_32();
    m.as_kernel32();
    m.epc.at<u64>(data_page * page_size + 0x10) = 0x1111'2222'3333'4444;
    ASSERT_TRUE(m.encls(EnclsLeaf::edbgrd, garbage, window_of(data_page) + 0x14).ok());
    EXPECT_EQ(m.c.gpr[rbx], 0x1111'2222u);
    ASSERT_TRUE(
        m.encls(EnclsLeaf::edbgwr, garbage | 0x5555'6666, window_of(data_page) + 0x10).ok());
    EXPECT_EQ(m.epc.at<u64>(data_page * page_size + 0x10), 0x1111'2222'5555'6666u);
    EXPECT_FALSE(m.encls(EnclsLeaf::edbgrd, 0, window_of(data_page) + 0x12).ok());
    EXPECT_EQ(pending_fault(m.c), gp0);
}

TEST_P(Encls32, DebugLeavesReachBothHalvesOfTcsFlagsAndOfASlot) {
    Narrow m{GetParam()};
    m.build_32();
    m.as_kernel32();
    ASSERT_TRUE(m.encls(EnclsLeaf::edbgwr, 1, window_of(tcs_page) + 8).ok());
    ASSERT_TRUE(m.encls(EnclsLeaf::edbgwr, 0, window_of(tcs_page) + 12).ok());
    EXPECT_EQ(m.tcs().flags.to_raw(), 1u);
    EXPECT_FALSE(m.encls(EnclsLeaf::edbgwr, 0, window_of(tcs_page) + 16).ok());

    m.entry(9) = {};
    m.entry(9).valid = true;
    m.entry(9).page_type = PageType::va;
    m.epc.at<u64>(9 * page_size + 8) = u64{1} << 32;  // the slot is in use
    ASSERT_TRUE(m.encls(EnclsLeaf::edbgrd, 0, window_of(9) + 8).ok());
    EXPECT_EQ(m.c.gpr[rbx], 0xffff'ffffu);
    ASSERT_TRUE(m.encls(EnclsLeaf::edbgrd, 5, window_of(9) + 16).ok());
    EXPECT_EQ(m.c.gpr[rbx], 0u);
}

TEST_P(Encls32, PagingLeavesTakeTheirOperandsWithinDs) {
    constexpr u64 base = 0x1'0000, sealed_at = 0x1'4000, pcmd_at = 0x1'5000;
    constexpr u64 va_page = 7, free_page = 9;
    Narrow m{GetParam()};
    m.build_32();
    m.as_kernel32();
    m.c.segment[ds].base = base;
    const auto leaf = [&](EnclsLeaf number, u64 rbx_value, u64 page) {
        const u64 slot = window_of(va_page) - base;
        EXPECT_TRUE(m.encls(number, rbx_value, window_of(page) - base, slot).ok());
        return m.c.gpr[rax];
    };
    leaf(EnclsLeaf::epa, 3, va_page);
    EXPECT_EQ(leaf(EnclsLeaf::eblock, 0, data_page), 0u);
    EXPECT_EQ(leaf(EnclsLeaf::etrack, 0, secs_page), 0u);
    m.at<Pageinfo>(pageinfo_at) = {0, sealed_at - base, pcmd_at - base, 0};
    const u64 content = m.epc.at<u64>(data_page * page_size + 0x20);
    EXPECT_EQ(leaf(EnclsLeaf::ewb, pageinfo_at - base, data_page), 0u);
    EXPECT_FALSE(m.entry(data_page).valid);
    EXPECT_EQ(m.at<Pageinfo>(pageinfo_at).linaddr, elrange + data_offset);
    m.at<Pageinfo>(pageinfo_at).secs = window_of(secs_page) - base;
    EXPECT_EQ(leaf(EnclsLeaf::eldu, pageinfo_at - base, free_page), 0u);
    EXPECT_TRUE(m.entry(free_page).valid);
    EXPECT_EQ(m.epc.at<u64>(free_page * page_size + 0x20), content);
}

// EENTER and ERESUME: what they check outside 64-bit mode only.

class Enclu32 : public testing::TestWithParam<Mode> {};
INSTANTIATE_TEST_SUITE_P(Sgx32, Enclu32, testing::ValuesIn(modes),
                         [](const auto& test) { return name_of_mode(test.param); });

constexpr NarrowViolation entry_violations[] = {
    {"CodeOf16Bits", [](Narrow& m) { m.c.segment[cs].access_rights &= ~0x4000u; }, gp0},
    {"DataOf16Bits", [](Narrow& m) { m.c.segment[ds].access_rights &= ~0x4000u; }, gp0},
    {"DsUnusable", [](Narrow& m) { m.c.segment[ds].access_rights |= 0x1'0000; }, gp0},
    {"DsExpandsDown", [](Narrow& m) { m.c.segment[ds].access_rights |= 4; }, gp0},
    {"CsWithABase", [](Narrow& m) { m.c.segment[cs].base = 0x1000; }, gp0},
    {"DsWithABase",
     [](Narrow& m) {
         m.c.segment[ds].base = 0x1000;
         m.c.gpr[rbx] -= 0x1000;
     },
     gp0},
    {"EsWithABase", [](Narrow& m) { m.c.segment[es].base = 0x1000; }, gp0},
    {"SsWithABase", [](Narrow& m) { m.c.segment[ss].base = 0x1000; }, gp0},
    {"StackOf16Bits", [](Narrow& m) { m.c.segment[ss].access_rights &= ~0x4000u; }, gp0},
    {"TcsBeyondDs", [](Narrow& m) { m.c.segment[ds].limit = elrange - 1; }, gp0},
    {"FsEndsBeyondDs",
     [](Narrow& m) {
         m.tcs().gslimit = 0xfff;
         m.c.segment[ds].limit = elrange + 0x1'4ffe;
     },
     gp0},
    {"GsEndsBeyondDs",
     [](Narrow& m) {
         m.tcs().fslimit = 0xfff;
         m.c.segment[ds].limit = elrange + 0x2'5ffe;
     },
     gp0},
    {"FsWrapsAroundAndDsHasAHole",
     [](Narrow& m) {
         m.tcs().fslimit = 0xffff'ffff;
         m.c.segment[ds].limit = 0xffff'fffe;
     },
     gp0},
    {"GsWrapsAroundAndDsHasAHole",
     [](Narrow& m) {
         m.tcs().gslimit = 0xffff'ffff;
         m.c.segment[ds].limit = 0xffff'fffe;
     },
     gp0},
    {"EnclaveOf64Bits", [](Narrow& m) { m.secs().attributes.flags.set(SgxAttribute::mode64bit); },
     gp0},
    {"SsaBeyondDs",
     [](Narrow& m) {
         m.tcs().ofsbase = m.tcs().ogsbase = 0;
         m.tcs().fslimit = m.tcs().gslimit = 0xfff;
         m.c.segment[ds].limit = elrange + ssa_offset - 1;
     },
     gp0},
    {"SsaEndsBeyondDs",
     [](Narrow& m) {
         m.tcs().ofsbase = m.tcs().ogsbase = 0;
         m.tcs().fslimit = m.tcs().gslimit = 0xfff;
         m.c.segment[ds].limit = elrange + ssa_offset + 0xffe;
     },
     gp0},
    {"TcsNotInTheEpc", [](Narrow& m) { m.c.gpr[rbx] = source_at; }, pf(source_at, user_fault)},
    {"SsaBlocked", [](Narrow& m) { m.entry(ssa_page).blocked = true; },
     pf(elrange + ssa_offset, user_fault)},
};

class Eenter32Violation : public testing::TestWithParam<Case> {};

TEST_P(Eenter32Violation, FaultsAndChangesNothing) {
    const auto& [violation, mode] = GetParam();
    Narrow m{mode};
    m.ready_to_enter();
    violation.arrange(m);
    expect_fault_only(m, sgx::enclu, violation.fault);
}

class Eresume32Violation : public testing::TestWithParam<Case> {};

TEST_P(Eresume32Violation, FaultsAndChangesNothing) {
    const auto& [violation, mode] = GetParam();
    Narrow m{mode};
    m.ready_to_resume();
    violation.arrange(m);
    expect_fault_only(m, sgx::enclu, violation.fault);
}

INSTANTIATE_TEST_SUITE_P(Sgx32, Eenter32Violation,
                         testing::Combine(testing::ValuesIn(entry_violations),
                                          testing::ValuesIn(modes)),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Sgx32, Eresume32Violation,
                         testing::Combine(testing::ValuesIn(entry_violations),
                                          testing::ValuesIn(modes)),
                         name_of_case);

TEST_P(Enclu32, TargetsMustLieWithinCs) {
    Narrow enter{GetParam()};
    enter.ready_to_enter();
    enter.c.segment[cs].limit = entry_point - 1;
    expect_fault_only(enter, sgx::enclu, gp0);
    enter.c.segment[cs].limit = entry_point;
    EXPECT_TRUE(sgx::enclu(enter.c).ok());

    Narrow resume{GetParam()};
    resume.ready_to_resume();
    resume.gprsgx().rip = garbage | 0x4000'0123;
    resume.c.segment[cs].limit = 0x4000'0122;
    expect_fault_only(resume, sgx::enclu, gp0);
    resume.c.segment[cs].limit = 0x4000'0123;
    EXPECT_TRUE(sgx::enclu(resume.c).ok());

    Narrow exit{GetParam()};
    exit.go_inside_32();
    exit.c.gpr[rax] = 4;
    exit.c.gpr[rbx] = 0x5000'0001;
    exit.c.segment[cs].limit = 0x5000'0000;
    expect_fault_only(exit, sgx::enclu, gp0);
    EXPECT_TRUE(exit.c.enclave.active);
    exit.c.segment[cs].limit = 0x5000'0001;
    EXPECT_TRUE(sgx::enclu(exit.c).ok());
}

TEST_P(Enclu32, UnusableEsAndSsMayHaveABase) {
    Narrow m{GetParam()};
    m.ready_to_enter();
    m.c.segment[es] = m.c.segment[ss] = {0, 0, 0x1'0000, 0, 0, 0x1000};
    EXPECT_TRUE(sgx::enclu(m.c).ok());
}

TEST_P(Enclu32, ASegmentMayWrapAroundInADsWithoutHoles) {
    Narrow m{GetParam()};
    m.ready_to_enter();
    m.tcs().fslimit = m.tcs().gslimit = 0xffff'ffff;
    EXPECT_TRUE(sgx::enclu(m.c).ok());
}

TEST_P(Enclu32, EntersWithSegmentsOfTheTcsAndRecordsTheLowerHalvesOfTheStack) {
    Narrow m{GetParam()};
    m.go_inside_32();
    EXPECT_EQ(m.c.next_rip, entry_point);
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_EQ(m.c.gpr[rcx], outside_rip + 3);
    EXPECT_EQ(m.gprsgx().ursp, outer_esp);
    EXPECT_EQ(m.gprsgx().urbp, outer_ebp);
    EXPECT_EQ(m.tcs().aep, aep);
    EXPECT_FALSE(m.c.enclave.mode64);
    EXPECT_EQ(m.c.enclave.tcs_linear, elrange + tcs_offset);
    EXPECT_EQ(m.c.segment[fs], (Segment{0x0b, 0, 0xc0f3, 0xffff, 0, elrange + 0x5000}));
    EXPECT_EQ(m.c.segment[gs], (Segment{0x0b, 0, 0xc0f3, 0x1'ffff, 0, elrange + 0x6000}));
    EXPECT_EQ(m.c.xcr0, 3u);
}

TEST_P(Enclu32, AnAexWritesLowerHalvesAndLeavesR8ToR15AndXmm8ToXmm15Alone) {
    Narrow m{GetParam()};
    m.go_inside_32();
    for (unsigned n = 0; n < gpr_count; ++n) m.c.gpr[n] = garbage | (0x1000 + n);
    for (unsigned n = 0; n < 16; ++n) m.c.vector.zmm[n].bytes.fill(static_cast<u8>(0x60 + n));
    Gprsgx& s = m.gprsgx();
    constexpr u64 old = 0x7777'7777'7777'7777;
    s.rax = s.rdi = s.r8 = s.r15 = s.rip = s.rflags = old;
    s.ursp = garbage | outer_esp;  // the enclave's doing
    m.xsave<u64>(160 + 8 * 16) = old;
    set_rflags(m.c, 0x8d7);
    asynchronous_exit(m.c, {});

    EXPECT_EQ(s.rax, 0x7777'7777'0000'1000u);
    EXPECT_EQ(s.rdi, 0x7777'7777'0000'1007u);
    EXPECT_EQ(s.r8, old);
    EXPECT_EQ(s.r15, old);
    EXPECT_EQ(s.rip, 0x7777'7777'0000'0000u | entry_point);
    EXPECT_EQ(s.rflags, 0x7777'7777'0000'08d7u);
    EXPECT_EQ(s.fsbase, elrange + 0x5000);
    EXPECT_EQ(s.gsbase, elrange + 0x6000);
    EXPECT_EQ(m.xsave<u64>(160 + 7 * 16), 0x6767'6767'6767'6767u);
    EXPECT_EQ(m.xsave<u64>(160 + 8 * 16), old);

    EXPECT_EQ(m.c.rip, aep);
    EXPECT_EQ(m.c.gpr[rax], 3u);
    EXPECT_EQ(m.c.gpr[rbx], elrange + tcs_offset);
    EXPECT_EQ(m.c.gpr[rcx], aep);
    EXPECT_EQ(m.c.gpr[rdx], 0u);
    EXPECT_EQ(m.c.gpr[rsi], 0u);
    EXPECT_EQ(m.c.gpr[rdi], 0u);
    EXPECT_EQ(m.c.gpr[rsp], outer_esp);
    EXPECT_EQ(m.c.gpr[rbp], outer_ebp);
    EXPECT_EQ(m.c.gpr[r8], garbage | 0x1008);
    EXPECT_EQ(m.c.gpr[r15], garbage | 0x100f);
    EXPECT_EQ(m.c.vector.zmm[7].bytes[0], 0);
    EXPECT_EQ(m.c.vector.zmm[8].bytes[0], 0x68);
    EXPECT_EQ(rflags(m.c), 2u);
}

TEST_P(Enclu32, EresumeLoadsLowerHalvesAndSegmentsOfTheTcs) {
    Narrow m{GetParam()};
    m.ready_to_resume();
    Gprsgx& s = m.gprsgx();
    s.rax = garbage | 0x11;
    s.rsp = garbage | 0x22;
    s.rip = garbage | 0x4000'1234;
    s.r8 = 0x33;
    s.fsbase = s.gsbase = not_canonical;
    m.c.gpr[r8] = 0x44;
    ASSERT_TRUE(sgx::enclu(m.c).ok());
    EXPECT_EQ(m.c.gpr[rax], 0x11u);
    EXPECT_EQ(m.c.gpr[rsp], 0x22u);
    EXPECT_EQ(m.c.gpr[r8], 0x44u);
    EXPECT_EQ(m.c.next_rip, 0x4000'1234u);
    EXPECT_EQ(m.c.segment[fs].base, elrange + 0x5000);
    EXPECT_EQ(m.c.segment[gs].base, elrange + 0x6000);
    EXPECT_EQ(m.tcs().cssa, 0u);
}

TEST_P(Enclu32, EexitTakesTheLowerHalfOfItsTarget) {
    Narrow m{GetParam()};
    m.go_inside_32();
    m.c.gpr[rax] = 4;
    m.c.gpr[rbx] = garbage | 0x9876;
    ASSERT_TRUE(sgx::enclu(m.c).ok());
    EXPECT_EQ(m.c.next_rip, 0x9876u);
    EXPECT_EQ(m.c.gpr[rcx], aep);
    EXPECT_FALSE(m.c.enclave.active);
}

// What only 32-bit code has of the illegal instructions, and #BR.

struct Narrow32Instruction {
    const char* name;
    std::vector<u8> bytes;
    u64 vector;
    u32 exitinfo;
};

TEST_P(Enclu32, InstructionsThat64BitModeLacksAreIllegalToo) {
    constexpr u32 ud_info = 0x8000'0306;
    const Narrow32Instruction instructions[] = {
        {"INTO", {0xce}, 6, ud_info},
        {"LDS", {0xc5, 0x04, 0x24}, 6, ud_info},
        {"LES", {0xc4, 0x04, 0x24}, 6, ud_info},
        {"JMP ptr16:32", {0xea, 0, 0, 0, 0, 0x33, 0}, 6, ud_info},
        {"CALL ptr16:32", {0x9a, 0, 0, 0, 0, 0x33, 0}, 6, ud_info},
        {"POP ES", {0x07}, 6, ud_info},
        {"POP SS", {0x17}, 6, ud_info},
        {"POP DS", {0x1f}, 6, ud_info},
        {"MOV SS", {0x8e, 0xd0}, 6, ud_info},
        {"RETF", {0xcb}, 6, ud_info},
        {"IRET", {0xcf}, 6, ud_info},
        {"INT 80H", {0xcd, 0x80}, 6, ud_info},
        {"SYSENTER", {0x0f, 0x34}, 6, ud_info},
        {"CPUID", {0x0f, 0xa2}, 6, ud_info},
        {"IN", {0xe4, 0x60}, 6, ud_info},
        {"BOUND", {0x62, 0x04, 0x24}, 5, 0x8000'0305},
        {"AAM 0", {0xd4, 0}, 0, 0x8000'0300},
        {"HLT", {0xf4}, 13, 0x8000'030d},
    };
    for (const Narrow32Instruction& each : instructions) {
        SCOPED_TRACE(each.name);
        Narrow m{GetParam()};
        m.go_inside_32();
        m.at<u64>(outer_esp) = 0x0000'0020'0000'0010;  // EAX, which is 0, is below the bounds
        std::ranges::copy(each.bytes, m.epc.page(code_page) + 0x10);
        m.outside_code(handlers + 16 * each.vector, {0xeb, 0xfe});
        EXPECT_EQ(run(m.c, now(m.c) + 1), RunOutcome::time);
        EXPECT_EQ(m.c.rip, handlers + 16 * each.vector);
        EXPECT_EQ(static_cast<u32>(m.gprsgx().rip), entry_point);
        EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), each.exitinfo);
        EXPECT_EQ(m.gprsgx().rflags & 0x1'0000, 0x1'0000u);
    }
}

// The run loop. The enclave reads through FS and writes to its data page, is interrupted by UD2,
// is resumed behind it by the ENCLU at the AEP, and leaves.

TEST_P(Enclu32, TheRunLoopEntersInterruptsResumesAndLeaves) {
    Narrow m{GetParam()};
    m.build_32();
    m.tcs().ofsbase = data_offset;
    m.epc.at<u32>(data_page * page_size + 0x40) = 0x1234'5678;
    m.outside_code(outside_rip, {
                                    0xb8, 2,    0,    0, 0,     // mov eax, 2
                                    0xbb, 0,    0,    0, 0x40,  // mov ebx, TCS
                                    0xb9, 0,    0x90, 0, 0,     // mov ecx, AEP
                                    0x0f, 0x01, 0xd7,           // enclu
                                    0xeb, 0xfe,                 // jmp $
                                });
    m.outside_code(aep, {0x0f, 0x01, 0xd7, 0xeb, 0xfe});  // enclu; jmp $
    m.enclave_code({
        0x89, 0xcd,                          // mov ebp, ecx: where EENTER returns to
        0x64, 0x8b, 0x15, 0x40, 0, 0,    0,  // mov edx, fs:[40H]
        0x42,                                // inc edx, which 64-bit mode does not have
        0x89, 0x15, 0x80, 0x40, 0, 0x40,     // mov [data + 80H], edx
        0x0f, 0x0b,                          // ud2
        0x8d, 0x5d, 0x20,                    // lea ebx, [ebp + 20H]
        0xb8, 4,    0,    0,    0,           // mov eax, 4
        0x0f, 0x01, 0xd7,                    // enclu
    });
    m.outside_code(outside_rip + 18 + 0x20, {0xeb, 0xfe});  // jmp $
    // The handler of #UD, in 64-bit mode or not: HLT, then IRET.
    if (m.mode == Mode::legacy)
        m.outside_code(handlers + 16 * 6, {0xf4, 0xcf});
    else
        m.outside_code(handlers + 16 * 6, {0xf4, 0x48, 0xcf});
    m.c.rip = outside_rip;

    ASSERT_EQ(run(m.c, 100), RunOutcome::halted);
    const Gprsgx& s = m.gprsgx();
    EXPECT_EQ(static_cast<u32>(s.rip), entry_point + 16);
    EXPECT_EQ(s.exitinfo.to_raw(), 0x8000'0306u);
    EXPECT_EQ(static_cast<u32>(s.rflags), 0x1'0002u);  // RF
    EXPECT_EQ(static_cast<u32>(s.rdx), 0x1234'5679u);
    EXPECT_EQ(m.epc.at<u32>(data_page * page_size + 0x80), 0x1234'5679u);
    EXPECT_EQ(m.c.gpr[rax], 3u);
    EXPECT_EQ(m.c.gpr[rdx], 0u);
    EXPECT_EQ(m.tcs().cssa, 1u);
    // What the handler finds on its stack.
    if (m.mode == Mode::legacy) {
        EXPECT_EQ(m.at<u32>(handler_stack - 20), aep);
        EXPECT_EQ(m.at<u32>(handler_stack - 16), user_code);
        EXPECT_EQ(m.at<u32>(handler_stack - 12), 2u);
        EXPECT_EQ(m.at<u32>(handler_stack - 8), outer_esp);
    } else {
        EXPECT_EQ(m.at<u64>(handler_stack - 40), aep);
        EXPECT_EQ(m.at<u64>(handler_stack - 16), outer_esp);
    }

    m.gprsgx().rip += 2;
    m.c.event.activity = ActivityState::active;
    ASSERT_EQ(run(m.c, 200), RunOutcome::time);
    EXPECT_EQ(m.c.rip, outside_rip + 18 + 0x20);
    EXPECT_EQ(m.c.gpr[rdx], 0x1234'5679u);
    EXPECT_EQ(m.c.gpr[rcx], aep);
    EXPECT_FALSE(m.c.enclave.active);
    EXPECT_EQ(m.tcs().cssa, 0u);
    EXPECT_EQ(m.tcs().state, TcsState::inactive);
    EXPECT_EQ(m.c.segment[fs].selector, 0u);
}

}  // namespace
}  // namespace postern::cpu::sgx
