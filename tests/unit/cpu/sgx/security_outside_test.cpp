// SPDX-License-Identifier: Apache-2.0
// Attempts to reach an enclave's memory by instructions from outside: with every kind of
// instruction that reads or writes memory, at both privilege levels, before the enclave's first
// entry, while it is interrupted, and after it has left. Reads are all ones, writes go nowhere.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "unit/cpu/sgx/attack_machine.h"

namespace postern::cpu::sgx::attack {
namespace {

constexpr u64 ram = guest_at::data;  // what is moved to and from
constexpr u64 target = window_of(data_page) + 0x200;
constexpr u64 ordinary_word = 0x1122'3344'5566'7788;

/// With RSI at the enclave's page and RDI in RAM. RDX is what the attempt has got, unless it
/// faults.
struct Attempt {
    const char* name;
    Bytes code;
    u64 got = ones;
    std::optional<GuestFault> fault{};
};

const GuestFault gp{Vector::general_protection};
/// U/S apart.
const GuestFault fetch_of_ones{Vector::page_fault, 0x10, ones};

const std::vector<Attempt> reads{
    {"Mov", {0x48, 0x8b, 0x16}},
    {"MovOneByte", {0x31, 0xd2, 0x8a, 0x16}, 0xff},
    {"MovsxdSign", {0x48, 0x63, 0x16}},
    {"Movbe", {0x48, 0x0f, 0x38, 0xf0, 0x16}},
    {"Add", {0x31, 0xd2, 0x48, 0x03, 0x16}},
    {"PopcntOfAllItsBits", {0xf3, 0x48, 0x0f, 0xb8, 0x16}, 64},
    {"Lods", {0x48, 0xad, 0x48, 0x89, 0xc2}},
    {"Push", {0xff, 0x36, 0x5a}},
    {"Xchg", {0x48, 0x87, 0x16}},
    {"LockXadd", {0xf0, 0x48, 0x0f, 0xc1, 0x16}},
    {"LockCmpxchgLoads", {0x31, 0xc0, 0xf0, 0x48, 0x0f, 0xb1, 0x0e, 0x48, 0x89, 0xc2}},
    {"LockCmpxchg16bLoads", {0x31, 0xc0, 0x31, 0xd2, 0xf0, 0x48, 0x0f, 0xc7, 0x0e}},
    {"Movdqu", {0xf3, 0x0f, 0x6f, 0x06, 0x66, 0x48, 0x0f, 0x7e, 0xc2}},
    {"Movdqa", {0x66, 0x0f, 0x6f, 0x06, 0x66, 0x48, 0x0f, 0x7e, 0xc2}},
    {"VmovdquUpperHalf",
     {0xc5, 0xfe, 0x6f, 0x06, 0xc4, 0xe3, 0x7d, 0x39, 0xc0, 0x01, 0x66, 0x48, 0x0f, 0x7e, 0xc2}},
    {"Pcmpeqb", {0x66, 0x0f, 0x76, 0xc9, 0x66, 0x0f, 0x74, 0x0e, 0x66, 0x48, 0x0f, 0x7e, 0xca}},
    // RSI as base, XMM1 = 0 as index, XMM2 all ones as mask.
    {"Vpgatherdd",
     {0xc5, 0xf1, 0xef, 0xc9, 0xc5, 0xe9, 0x76, 0xd2, 0xc4, 0xe2, 0x69, 0x90, 0x04, 0x0e, 0x66,
      0x48, 0x0f, 0x7e, 0xc2}},
    {"Fld80", {0xdb, 0xe3, 0xdb, 0x2e, 0xdb, 0x3f, 0x48, 0x8b, 0x17}},
    {"Fild", {0xdb, 0xe3, 0xdf, 0x2e, 0xdf, 0x3f, 0x48, 0x8b, 0x17}},
    {"Frstor", {0xdd, 0x26, 0xd9, 0x3f, 0x48, 0x0f, 0xb7, 0x17}, 0x1f7f},
    {"Ldmxcsr", {0x0f, 0xae, 0x16}, 0, gp},
    {"Fxrstor", {0x48, 0x0f, 0xae, 0x0e}, 0, gp},
    {"Xrstor", {0xb8, 7, 0, 0, 0, 0x31, 0xd2, 0x48, 0x0f, 0xae, 0x2e}, 0, gp},
    {"CallThroughIt", {0xff, 0x16}, 0, fetch_of_ones},
    {"JumpThroughIt", {0xff, 0x26}, 0, fetch_of_ones},
    {"Bt", {0x31, 0xd2, 0x48, 0x0f, 0xba, 0x26, 0x05, 0x0f, 0x92, 0xc2}, 1},
};

const std::vector<Attempt> writes{
    {"Mov", {0x48, 0x89, 0x16}, secret_word},
    {"MovOneByte", {0x88, 0x16}, secret_word},
    {"Movnti", {0x48, 0x0f, 0xc3, 0x16}, secret_word},
    {"Pop", {0x6a, 0x01, 0x8f, 0x06}, secret_word},
    {"Xchg", {0x48, 0x87, 0x16}},
    {"LockXadd", {0xf0, 0x48, 0x0f, 0xc1, 0x16}},
    {"LockInc", {0xf0, 0x48, 0xff, 0x06}, secret_word},
    {"LockBts", {0xf0, 0x48, 0x0f, 0xba, 0x2e, 0x00}, secret_word},
    // RAX and what it compares with are all ones, so that the store is made.
    {"LockCmpxchg", {0x48, 0x83, 0xc8, 0xff, 0xf0, 0x48, 0x0f, 0xb1, 0x16}, secret_word},
    {"LockCmpxchg16b",
     {0x48, 0x83, 0xc8, 0xff, 0x48, 0x83, 0xca, 0xff, 0x31, 0xdb, 0x31, 0xc9, 0xf0, 0x48, 0x0f,
      0xc7, 0x0e}},
    {"Stos", {0x48, 0x89, 0xf7, 0x48, 0xab}, secret_word},
    {"RepStos", {0x48, 0x89, 0xf7, 0xb9, 64, 0, 0, 0, 0xf3, 0xaa}, secret_word},
    {"Movdqu", {0xf3, 0x0f, 0x7f, 0x06}, secret_word},
    {"Movntdq", {0x66, 0x0f, 0xe7, 0x06}, secret_word},
    {"Vmovdqu", {0xc5, 0xfe, 0x7f, 0x06}, secret_word},
    {"Vpmaskmovd", {0xc5, 0xe9, 0x76, 0xd2, 0xc4, 0xe2, 0x69, 0x8e, 0x0e}, secret_word},
    {"Maskmovdqu", {0x48, 0x89, 0xf7, 0x66, 0x0f, 0x76, 0xc9, 0x66, 0x0f, 0xf7, 0xc1}, secret_word},
    {"Fstp80", {0xdb, 0xe3, 0xd9, 0xe8, 0xdb, 0x3e}, secret_word},
    {"Fistp", {0xdb, 0xe3, 0xd9, 0xe8, 0xdf, 0x3e}, secret_word},
    {"Fnstenv", {0xd9, 0x36}, secret_word},
    {"Fnsave", {0xdd, 0x36}, secret_word},
    {"Fxsave", {0x48, 0x0f, 0xae, 0x06}, secret_word},
    {"Xsave", {0xb8, 7, 0, 0, 0, 0x31, 0xd2, 0x48, 0x0f, 0xae, 0x26}, 0},
    {"Xsaveopt", {0xb8, 7, 0, 0, 0, 0x31, 0xd2, 0x48, 0x0f, 0xae, 0x36}, 0},
    {"Stmxcsr", {0x0f, 0xae, 0x1e}, secret_word},
    {"Setcc", {0x0f, 0x94, 0x06}, secret_word},
    {"CallWithItsStackThere",
     {0x48, 0x89, 0xf4, 0xe8, 0, 0, 0, 0, 0x48, 0xbc, 0, 0, 2, 0, 0, 0, 0, 0},
     secret_word},
};

enum class When : u8 { before_entry, interrupted, left };

/// The enclave in the state, the attack's registers set.
void prepare(AttackMachine& m, When when) {
    if (when == When::interrupted) {
        m.go_inside();
        m.go_on(1);  // its own load of the secret
        asynchronous_exit(m.c, {});
    }
    if (when == When::left) m.run_outside(3, enter_bytes());
    std::memcpy(m.ram(ram), &ordinary_word, 8);
    m.c.gpr[rsi] = target;
    m.c.gpr[rdi] = ram;
    m.c.gpr[rdx] = secret_word;
}

/// Reads the secret into R9, then leaves.
const Bytes honest_enclave = join({{0x4c, 0x8b, 0x0c, 0x25, 0x00, 0x42, 0x00, 0x40}, exit_bytes()});

struct Situation {
    u32 cpl;
    When when;
};

class FromOutside : public testing::TestWithParam<Situation> {
protected:
    void expect_nothing_gained(const Attempt& attempt) {
        AttackMachine m{honest_enclave};
        prepare(m, GetParam().when);
        const Bytes before = m.epc_bytes();
        GuestStop stop = m.run_outside(GetParam().cpl, attempt.code);
        constexpr u32 user = 4;
        if (GetParam().cpl == 3 && stop.fault) stop.fault->error_code &= ~user;
        EXPECT_EQ(m.epc_bytes(), before);
        EXPECT_EQ(stop.outcome, RunOutcome::halted);
        EXPECT_EQ(stop.fault, attempt.fault);
        if (!attempt.fault) {
            EXPECT_EQ(stop.state.gpr[rdx], attempt.got);
        }
    }
};

TEST_P(FromOutside, EveryReadIsAllOnes) {
    for (const Attempt& attempt : reads) {
        SCOPED_TRACE(attempt.name);
        expect_nothing_gained(attempt);
    }
}

TEST_P(FromOutside, EveryWriteGoesNowhere) {
    for (const Attempt& attempt : writes) {
        SCOPED_TRACE(attempt.name);
        expect_nothing_gained(attempt);
    }
}

std::string name_of_situation(const testing::TestParamInfo<Situation>& info) {
    const std::string cpl = "Cpl" + std::to_string(info.param.cpl);
    switch (info.param.when) {
        case When::before_entry: return cpl + "BeforeEntry";
        case When::interrupted: return cpl + "Interrupted";
        case When::left: return cpl + "Left";
    }
    return cpl;
}

constexpr Situation situations[]{{0, When::before_entry}, {3, When::before_entry},
                                 {0, When::interrupted},  {3, When::interrupted},
                                 {0, When::left},         {3, When::left}};

INSTANTIATE_TEST_SUITE_P(Security, FromOutside, testing::ValuesIn(situations), name_of_situation);

TEST(Security, TheEnclaveItselfReadsItsSecret) {
    AttackMachine m{honest_enclave};
    const GuestStop stop = m.run_outside(3, enter_bytes());
    EXPECT_EQ(stop.fault, std::nullopt);
    EXPECT_EQ(stop.state.gpr[r9], secret_word);
}

TEST(Security, ElrangeIsNoOtherWayInForWhoIsOutside) {
    for (const u32 cpl : {0u, 3u}) {
        AttackMachine m{honest_enclave};
        m.c.gpr[rsi] = data_at;
        const Bytes before = m.epc_bytes();
        const GuestStop stop = m.run_outside(cpl, {0x48, 0x8b, 0x16, 0x48, 0xff, 0x06});
        EXPECT_EQ(stop.fault, std::nullopt);
        EXPECT_EQ(stop.state.gpr[rdx], ones);
        EXPECT_EQ(m.epc_bytes(), before);
    }
}

// String instructions that run from RAM into the EPC and back. The page below the window is RAM.

constexpr u64 edge = window_of(0);
constexpr u64 below_edge = guest_at::data + 0x3000;  // physical, of the page below

struct StringCase {
    const char* name;
    Bytes instruction;
    u64 element;
};
const std::vector<StringCase> string_moves{{"Movsb", {0xf3, 0xa4}, 1},
                                           {"Movsw", {0x66, 0xf3, 0xa5}, 2},
                                           {"Movsd", {0xf3, 0xa5}, 4},
                                           {"Movsq", {0xf3, 0x48, 0xa5}, 8}};

TEST(Security, RepMovsOutOfTheEpcBringsOnes) {
    for (const StringCase& movs : string_moves) {
        for (const u32 cpl : {0u, 3u}) {
            SCOPED_TRACE(movs.name);
            AttackMachine m{honest_enclave};
            m.map(edge - page_size, below_edge, pte_present | pte_write | pte_user);
            std::memset(m.ram(below_edge), 0x11, page_size);
            std::memset(m.ram(ram), 0, 0x100);
            m.c.gpr[rsi] = edge - 32;
            m.c.gpr[rdi] = ram;
            m.c.gpr[rcx] = 96 / movs.element;
            const Bytes before = m.epc_bytes();
            const GuestStop stop = m.run_outside(cpl, movs.instruction);
            EXPECT_EQ(stop.fault, std::nullopt);
            EXPECT_EQ(stop.state.gpr[rcx], 0u);
            EXPECT_EQ(stop.state.gpr[rsi], edge + 64);
            EXPECT_EQ(m.epc_bytes(), before);
            const Bytes wanted = join({Bytes(32, 0x11), Bytes(64, 0xff), Bytes(8, 0)});
            EXPECT_EQ((Bytes{m.ram(ram), m.ram(ram) + 104}), wanted);
        }
    }
}

TEST(Security, RepMovsIntoTheEpcIsDroppedFromTheEdgeOn) {
    for (const StringCase& movs : string_moves) {
        SCOPED_TRACE(movs.name);
        AttackMachine m{honest_enclave};
        m.map(edge - page_size, below_edge, pte_present | pte_write | pte_user);
        std::memset(m.ram(ram), 0x22, 0x100);
        m.c.gpr[rsi] = ram;
        m.c.gpr[rdi] = edge - 32;
        m.c.gpr[rcx] = 96 / movs.element;
        const Bytes before = m.epc_bytes();
        const GuestStop stop = m.run_outside(3, movs.instruction);
        EXPECT_EQ(stop.fault, std::nullopt);
        EXPECT_EQ(stop.state.gpr[rdi], edge + 64);
        EXPECT_EQ(m.epc_bytes(), before);
        EXPECT_EQ(m.at<u64>(below_edge + page_size - 32), 0x2222'2222'2222'2222u);
        EXPECT_EQ(m.at<u64>(below_edge + page_size - 8), 0x2222'2222'2222'2222u);
    }
}

TEST(Security, AnUnalignedWordAcrossTheEdgeIsHalfItsOwn) {
    AttackMachine m{honest_enclave};
    m.map(edge - page_size, below_edge, pte_present | pte_write | pte_user);
    std::memset(m.ram(below_edge), 0x11, page_size);
    m.c.gpr[rsi] = edge - 3;
    const Bytes before = m.epc_bytes();
    // MOV RDX, [RSI]; MOV qword [RSI], 0
    const GuestStop stop = m.run_outside(0, {0x48, 0x8b, 0x16, 0x48, 0xc7, 0x06, 0, 0, 0, 0});
    EXPECT_EQ(stop.state.gpr[rdx], 0xffff'ffff'ff11'1111u);
    EXPECT_EQ(m.epc_bytes(), before);
    EXPECT_EQ(m.at<u32>(below_edge + page_size - 4), 0x0000'0011u);
}

TEST(Security, RepCmpsAndScasCompareWithOnes) {
    AttackMachine m{honest_enclave};
    // The right guess does not match, all ones do.
    std::memset(m.ram(ram), secret, 64);
    m.c.gpr[rsi] = ram;
    m.c.gpr[rdi] = target;
    m.c.gpr[rcx] = 64;
    const GuestStop guess = m.run_outside(3, {0xf3, 0xa6});
    EXPECT_EQ(guess.state.gpr[rcx], 63u);
    m.c.gpr[rdi] = target;
    m.c.gpr[rcx] = 64;
    m.c.gpr[rax] = 0xff;
    const GuestStop scan = m.run_outside(3, {0xf3, 0xae});
    EXPECT_EQ(scan.state.gpr[rcx], 0u);
}

}  // namespace
}  // namespace postern::cpu::sgx::attack
