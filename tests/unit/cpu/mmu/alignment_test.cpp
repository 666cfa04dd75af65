// SPDX-License-Identifier: Apache-2.0
// Alignment checks at CPL 3. SDM 3A, "Interrupt 17: Alignment Check Exception (#AC)", its table of
// data types; SDM 1, "Memory Alignment", for vectors.
#include <gtest/gtest.h>

#include <cstring>

#include "cpu/mmu/access.h"
#include "support/guest_code.h"

namespace postern::cpu {
namespace {

using Code = std::vector<u8>;

constexpr u64 here = guest_at::code, data = guest_at::data + 0x200;
constexpr u64 long_enough = 1000;

struct Row {
    const char* text;
    Code code;
    unsigned alignment;  // what is asked of RBX, RSP, RBP, RSI and RDI; 1: nothing
    unsigned bias = 0;   // that address is one that never faults
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.text; }

const std::vector<Row> rows{
    {"mov al, [rbx]", {0x8a, 0x03}, 1},
    {"mov ax, [rbx]", {0x66, 0x8b, 0x03}, 2},
    {"mov eax, [rbx]", {0x8b, 0x03}, 4},
    {"mov rax, [rbx]", {0x48, 0x8b, 0x03}, 8},
    {"mov [rbx], cx", {0x66, 0x89, 0x0b}, 2},
    {"mov [rbx], rcx", {0x48, 0x89, 0x0b}, 8},
    {"mov byte ptr [rbx], 1", {0xc6, 0x03, 0x01}, 1},
    {"add [rbx], ecx", {0x01, 0x0b}, 4},
    {"sub ecx, [rbx]", {0x2b, 0x0b}, 4},
    {"not qword ptr [rbx]", {0x48, 0xf7, 0x13}, 8},
    {"shl dword ptr [rbx], 3", {0xc1, 0x23, 0x03}, 4},
    {"imul ecx, [rbx]", {0x0f, 0xaf, 0x0b}, 4},
    {"setz [rbx]", {0x0f, 0x94, 0x03}, 1},
    {"cmovnz ecx, [rbx]", {0x0f, 0x45, 0x0b}, 4},
    {"lock xadd [rbx], rcx", {0xf0, 0x48, 0x0f, 0xc1, 0x0b}, 8},
    {"xchg [rbx], cx", {0x66, 0x87, 0x0b}, 2},
    {"lock cmpxchg [rbx], ecx", {0xf0, 0x0f, 0xb1, 0x0b}, 4},
    {"cmpxchg8b [rbx]", {0x0f, 0xc7, 0x0b}, 8},
    {"bt word ptr [rbx], 3", {0x66, 0x0f, 0xba, 0x23, 0x03}, 2},
    {"bts [rbx], ecx", {0x0f, 0xab, 0x0b}, 4},
    {"btr [rbx], rcx", {0x48, 0x0f, 0xb3, 0x0b}, 8},
    {"push rax", {0x50}, 8},
    {"push 1", {0x6a, 0x01}, 8},
    {"push qword ptr [rbx]", {0xff, 0x33}, 8},
    {"pushw 1", {0x66, 0x6a, 0x01}, 2},
    {"pop rcx", {0x59}, 8},
    {"pop qword ptr [rbx]", {0x8f, 0x03}, 8},
    {"popfq", {0x9d}, 8},
    {"pushfq", {0x9c}, 8},
    {"enter 8, 1", {0xc8, 0x08, 0x00, 0x01}, 8},
    {"leave", {0xc9}, 8},
    {"movsb", {0xa4}, 1},
    {"movsd", {0xa5}, 4},
    {"movsq", {0x48, 0xa5}, 8},
    {"lodsw", {0x66, 0xad}, 2},
    {"stosd", {0xab}, 4},
    {"scasq", {0x48, 0xaf}, 8},
    {"cmpsw", {0x66, 0xa7}, 2},
    {"rep stosq", {0xf3, 0x48, 0xab}, 8},
    {"movzx ecx, word ptr [rbx]", {0x0f, 0xb7, 0x0b}, 2},
    {"movsxd rcx, dword ptr [rbx]", {0x48, 0x63, 0x0b}, 4},
    {"movbe ecx, [rbx]", {0x0f, 0x38, 0xf0, 0x0b}, 4},
    {"movnti [rbx], rcx", {0x48, 0x0f, 0xc3, 0x0b}, 8},
    {"andn ecx, ecx, [rbx]", {0xc4, 0xe2, 0x70, 0xf2, 0x0b}, 4},
    {"lfs ecx, [rbx]", {0x0f, 0xb4, 0x0b}, 4},
    {"lgs cx, [rbx]", {0x66, 0x0f, 0xb5, 0x0b}, 2},
    {"mov fs, [rbx]", {0x8e, 0x23}, 2},
    {"mov [rbx], ds", {0x8c, 0x1b}, 2},
    {"sgdt [rbx]", {0x0f, 0x01, 0x03}, 4, 2},
    {"sidt [rbx]", {0x0f, 0x01, 0x0b}, 4, 2},
    {"sldt [rbx]", {0x0f, 0x00, 0x03}, 2},
    {"smsw [rbx]", {0x0f, 0x01, 0x23}, 2},
    {"fld dword ptr [rbx]", {0xd9, 0x03}, 4},
    {"fld qword ptr [rbx]", {0xdd, 0x03}, 8},
    {"fld tbyte ptr [rbx]", {0xdb, 0x2b}, 8},
    {"fstp dword ptr [rbx]", {0xd9, 0x1b}, 4},
    {"fstp tbyte ptr [rbx]", {0xdb, 0x3b}, 8},
    {"fbld [rbx]", {0xdf, 0x23}, 8},
    {"fbstp [rbx]", {0xdf, 0x33}, 8},
    {"fiadd word ptr [rbx]", {0xde, 0x03}, 2},
    {"fistp qword ptr [rbx]", {0xdf, 0x3b}, 8},
    {"fldcw [rbx]", {0xd9, 0x2b}, 2},
    {"fnstcw [rbx]", {0xd9, 0x3b}, 2},
    {"fnstsw [rbx]", {0xdd, 0x3b}, 2},
    {"fnstenv [rbx]", {0xd9, 0x33}, 4},
    {"fldenv [rbx]", {0xd9, 0x23}, 4},
    {"data16 fnstenv [rbx]", {0x66, 0xd9, 0x33}, 2},
    {"fnsave [rbx]", {0xdd, 0x33}, 4},
    {"frstor [rbx]", {0xdd, 0x23}, 4},
    {"data16 frstor [rbx]", {0x66, 0xdd, 0x23}, 2},
    {"movd mm0, [rbx]", {0x0f, 0x6e, 0x03}, 4},
    {"paddb mm0, [rbx]", {0x0f, 0xfc, 0x03}, 8},
    {"movq [rbx], mm0", {0x0f, 0x7f, 0x03}, 8},
    {"movd xmm0, [rbx]", {0x66, 0x0f, 0x6e, 0x03}, 4},
    {"movq xmm0, [rbx]", {0xf3, 0x0f, 0x7e, 0x03}, 8},
    {"movss xmm0, [rbx]", {0xf3, 0x0f, 0x10, 0x03}, 4},
    {"movsd [rbx], xmm0", {0xf2, 0x0f, 0x11, 0x03}, 8},
    {"addsd xmm0, [rbx]", {0xf2, 0x0f, 0x58, 0x03}, 8},
    {"rsqrtss xmm0, [rbx]", {0xf3, 0x0f, 0x52, 0x03}, 4},
    {"pinsrw xmm0, [rbx], 1", {0x66, 0x0f, 0xc4, 0x03, 0x01}, 2},
    {"pmovzxbd xmm0, [rbx]", {0x66, 0x0f, 0x38, 0x31, 0x03}, 4},
    {"ldmxcsr [rbx]", {0x0f, 0xae, 0x13}, 4},
    {"stmxcsr [rbx]", {0x0f, 0xae, 0x1b}, 4},
    {"movups xmm0, [rbx]", {0x0f, 0x10, 0x03}, 1},
    {"movdqu [rbx], xmm0", {0xf3, 0x0f, 0x7f, 0x03}, 1},
    {"lddqu xmm0, [rbx]", {0xf2, 0x0f, 0xf0, 0x03}, 1},
    {"vaddps xmm0, xmm0, [rbx]", {0xc5, 0xf8, 0x58, 0x03}, 1},
    {"vmovups ymm0, [rbx]", {0xc5, 0xfc, 0x10, 0x03}, 1},
    {"vmovdqu [rbx], ymm0", {0xc5, 0xfe, 0x7f, 0x03}, 1},
    {"vaddss xmm0, xmm0, [rbx]", {0xc5, 0xfa, 0x58, 0x03}, 4},
    {"vbroadcastss ymm0, [rbx]", {0xc4, 0xe2, 0x7d, 0x18, 0x03}, 4},
    {"vmovq [rbx], xmm0", {0xc5, 0xf9, 0xd6, 0x03}, 8},
    {"vinsertf128 ymm0, ymm0, [rbx], 1", {0xc4, 0xe3, 0x7d, 0x18, 0x03, 0x01}, 1},
    {"vmaskmovps xmm0, xmm1, [rbx]", {0xc4, 0xe2, 0x71, 0x2c, 0x03}, 1},
    {"vmaskmovpd [rbx], xmm1, xmm0", {0xc4, 0xe2, 0x71, 0x2f, 0x03}, 1},
    {"vpgatherdd xmm0, [rbx + xmm2], xmm1", {0xc4, 0xe2, 0x71, 0x90, 0x04, 0x13}, 1},
    {"maskmovdqu xmm0, xmm1", {0x66, 0x0f, 0xf7, 0xc1}, 1},
    {"maskmovq mm0, mm1", {0x0f, 0xf7, 0xc1}, 1},
    {"prefetcht0 [rbx]", {0x0f, 0x18, 0x0b}, 1},
    {"clflush [rbx]", {0x0f, 0xae, 0x3b}, 1},
    {"lea rcx, [rbx]", {0x48, 0x8d, 0x0b}, 1},
    {"nop dword ptr [rbx]", {0x0f, 0x1f, 0x03}, 1},
};

struct Checked : GuestCode {
    explicit Checked(u32 cpl = 3) : GuestCode{cpl} { c.cr0.set(Cr0::am); }

    void start(u64 address) {
        set_cpl(3);
        set_plain_state(here);
        for (const Gpr row : {rbx, rsp, rbp, rsi, rdi}) c.gpr[row] = address;
        c.gpr[rcx] = 1;
        c.flags.set(Rflag::ac);
        std::memset(ram(guest_at::data), 0, 0x1000);
        std::memset(c.vector.zmm[1].bytes.data(), 0xff, 16);
        c.vector.x87 = {};
        c.vector.x87.fcw = 0x37f;
        std::memset(c.vector.x87.st[1].data(), 0xff, 8);
    }
    GuestStop run(const Code& code, u64 address) {
        write(here, code);
        write(here + code.size(), int80);
        start(address);
        return GuestCode::run(long_enough);
    }
};

bool is_clear(const Checked& m) {
    for (u64 at = guest_at::data; at < guest_at::data + 0x1000; ++at)
        if (*m.ram(at) != 0) return false;
    return true;
}

class Alignment : public testing::TestWithParam<Row> {};

TEST_P(Alignment, IsAskedOfEachDataTypeByItself) {
    const Row& row = GetParam();
    Checked m;
    for (unsigned offset = 0; offset < 16; ++offset) {
        SCOPED_TRACE(offset);
        const GuestStop stop = m.run(row.code, data + offset);
        const bool wanted = (offset - row.bias) % row.alignment != 0;
        EXPECT_EQ(stop.fault.has_value(), wanted);
        if (!wanted || !stop.fault) continue;
        EXPECT_EQ(stop.fault, (GuestFault{Vector::alignment_check}));
        EXPECT_EQ(stop.state.rip, here);
        EXPECT_EQ(stop.instructions, 0u);
        EXPECT_EQ(stop.state.gpr[rsp], data + offset);
        EXPECT_EQ(stop.state.gpr[rdi], data + offset);
        EXPECT_TRUE(is_clear(m));
    }
}

TEST_P(Alignment, IsNotAskedAtCpl0NorWithoutAm) {
    const Row& row = GetParam();
    if (row.alignment == 1) return;
    for (const bool at_cpl_0 : {false, true}) {
        SCOPED_TRACE(at_cpl_0);
        Checked m;
        m.write(here, row.code);
        m.write(here + row.code.size(), at_cpl_0 ? std::span<const u8>{GuestCode::hlt}
                                                 : std::span<const u8>{GuestCode::int80});
        m.start(data + 1);
        if (at_cpl_0)
            m.set_cpl(0);
        else
            m.c.cr0.set(Cr0::am, false);
        EXPECT_EQ(m.GuestCode::run(long_enough).fault, std::nullopt);
    }
}

INSTANTIATE_TEST_SUITE_P(Instructions, Alignment, testing::ValuesIn(rows));

const Code load_eax{0x8b, 0x03};               // mov eax, [rbx]
const Code store_eax{0x89, 0x03};              // mov [rbx], eax
const Code load_xmm{0x0f, 0x28, 0x03};         // movaps xmm0, [rbx]
const Code add_xmm{0x0f, 0x58, 0x03};          // addps xmm0, [rbx]
const Code cmpxchg16{0x48, 0x0f, 0xc7, 0x0b};  // cmpxchg16b [rbx]
const Code fxsave{0x0f, 0xae, 0x03};           // fxsave [rbx]
const Code load_m80{0xdb, 0x2b};               // fld tbyte ptr [rbx]
const Code movs{0xa5};                         // movsd

TEST(AlignmentCheck, GivesWayToThePages) {
    Checked m;
    const u64 last = guest_at::not_present - 2;
    m.map(guest_at::not_present - page_size, guest_at::data, pte_present | pte_user);
    EXPECT_EQ(m.run(load_eax, last).fault, (GuestFault{Vector::page_fault, 4, last + 2}));
    EXPECT_EQ(m.run(load_m80, last - 7).fault, (GuestFault{Vector::page_fault, 4, last + 2}));
    EXPECT_EQ(m.run(store_eax, last - 3).fault, (GuestFault{Vector::page_fault, 7, last - 3}));
}

TEST(AlignmentCheck, GivesWayToAddressesThatAreNotCanonical) {
    Checked m;
    const u64 last = 0x7fff'ffff'fffe;
    EXPECT_EQ(m.run(load_eax, u64{1} << 62 | 1).fault, (GuestFault{Vector::general_protection}));
    m.map(last & ~u64{4095}, guest_at::data, pte_present | pte_user);
    EXPECT_EQ(m.run(load_eax, last).fault, (GuestFault{Vector::general_protection}));
    EXPECT_EQ(m.run(load_eax, last - 3).fault, (GuestFault{Vector::alignment_check}));
}

TEST(AlignmentCheck, OfSixteenBytesThatMustBeAlignedIsAGeneralProtection) {
    for (const Code& code : {load_xmm, add_xmm, cmpxchg16, fxsave}) {
        Checked m;
        for (const u64 offset : {1u, 2u, 4u, 8u})
            EXPECT_EQ(m.run(code, data + offset).fault, (GuestFault{Vector::general_protection}));
        EXPECT_EQ(m.run(code, data).fault, std::nullopt);
    }
}

TEST(AlignmentCheck, LooksAtBothOperandsOfAStringInstruction) {
    Checked m;
    for (const auto& [source, destination] : {std::pair{1u, 0u}, {0u, 2u}}) {
        m.write(here, movs);
        m.start(data);
        m.c.gpr[rsi] += source;
        m.c.gpr[rdi] += destination;
        EXPECT_EQ(m.GuestCode::run(long_enough).fault, (GuestFault{Vector::alignment_check}));
    }
}

TEST(AlignmentCheck, SeesMemoryThatWasReachedWithoutIt) {
    Checked m;
    m.write(here, load_eax);
    m.write(here + load_eax.size(), GuestCode::int80);
    for (const bool checks : {false, true, false, true}) {
        m.start(data + 1);
        m.c.flags.set(Rflag::ac, checks);
        const GuestStop stop = m.GuestCode::run(long_enough);
        EXPECT_EQ(stop.fault.has_value(), checks);
    }
}

/// What the processor reads by itself, it reads as a supervisor.
TEST(AlignmentCheck, IsNeverMadeOfDescriptors) {
    Checked m;
    const Code load_ds{0x8e, 0xdb, 0xcd, 0x80};  // mov ds, ebx; int 80h
    m.write(here, load_ds);
    for (const u64 moved : {1u, 3u}) {
        m.start(data);
        const u64 old = m.c.gdtr.base;
        std::memmove(m.ram(guest_at::spare + moved), m.ram(old), m.c.gdtr.limit + 1);
        m.c.gdtr.base = guest_at::spare + moved;
        m.c.gpr[rbx] = m.c.segment[ss].selector;
        EXPECT_EQ(m.GuestCode::run(long_enough).fault, std::nullopt);
        m.c.gdtr.base = old;
    }
}

/// Its gate leads to code of DPL 3, so the frame is pushed at CPL 3. SDM 2A, "INT n", Operation.
TEST(AlignmentCheck, LooksAtTheStackOfAHandlerAtCpl3) {
    constexpr u16 code32_of_dpl_3 = 0x43;
    for (const u64 offset : {0u, 2u}) {
        Checked m;
        m.set_mode(GuestMode::protected32);
        m.at<u16>(guest_at::legacy_idt + 8 * 0x80 + 2) = code32_of_dpl_3;
        m.write(here, GuestCode::int80);
        m.set_plain_state(here);
        m.c.gpr[rsp] = data + offset;
        m.c.flags.set(Rflag::ac);
        const GuestStop stop = m.GuestCode::run(1);
        EXPECT_EQ(stop.fault.has_value(), offset != 0);
        if (!stop.fault) continue;
        EXPECT_EQ(stop.fault, (GuestFault{Vector::alignment_check}));
    }
}

TEST(AlignmentCheck, HasTheTlbOfItsOwnWithoutDataTags) {
    Checked m;
    m.start(data);
    select_tlb(m.c);
    ASSERT_EQ(m.c.tlb, &m.c.tlbs[tlb_checked]);
    EXPECT_TRUE(load(m.c, Gva{data}, 4).ok());
    EXPECT_TRUE(store(m.c, Gva{data}, 4, 0).ok());
    EXPECT_FALSE(fill_tlb(m.c, Gva{data}, Access::read, 4));
    EXPECT_FALSE(fill_tlb(m.c, Gva{data}, Access::write, 4));
    EXPECT_TRUE(m.c.tlb->translates(data, tlb_writes));
    const TlbEntry& e = m.c.tlb->entry[Tlb::slot_of(data)];
    EXPECT_NE(e.read, data & ~u64{4095});
    EXPECT_NE(e.write, data & ~u64{4095});
}

}  // namespace
}  // namespace postern::cpu
