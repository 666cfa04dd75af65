// SPDX-License-Identifier: Apache-2.0
// What is forgotten of which address space. SDM 3A, "Operations that Invalidate TLBs and
// Paging-Structure Caches"; SDM 3C, "Operations that Invalidate Cached Mappings".
#include <gtest/gtest.h>

#include "cpu/decode/block_cache.h"
#include "cpu/event/event.h"
#include "cpu/exec/system.h"
#include "cpu/mmu/access.h"
#include "support/guest_code.h"
#include "unit/cpu/vmx/vmx_machine.h"

namespace postern::cpu {
namespace {

constexpr u64 page = 0x40'0000, global_page = 0x40'1000, other_page = 0x40'2000;
constexpr u64 tables = guest_at::page_tables, other_tables = guest_at::page_tables + 0x1000;
constexpr u64 keep = u64{1} << 63;

/// A translation, whatever the tables say: only that it is gone is looked at.
void remember(Cpu& c, u64 linear, u32 flags = 0) {
    c.tlb->insert(linear, 0x1000, tlb_reads | flags, true);
}
bool knows(const Cpu& c, u64 linear) { return c.tlb->translates(linear, tlb_reads); }

class Spaces : public testing::Test {
protected:
    GuestCode m;
    Cpu& c = m.c;

    Spaces() {
        c.cr4.set(Cr4::pcide);
        c.cr4.set(Cr4::pge);
        flush_translations(c);
    }
    bool mov_to_cr(u8 number, u64 value) {
        c.gpr[rbx] = value;
        Insn i{};
        i.dst = number;
        i.src = rbx;
        return exec_mov_to_cr(c, i).ok();
    }
    void load_cr3(u64 value) { ASSERT_TRUE(mov_to_cr(3, value)); }
    void go_to(u64 pcid) { load_cr3(tables | pcid | keep); }
    /// The same three pages in each PCID.
    void fill(std::initializer_list<u64> pcids) {
        for (const u64 pcid : pcids) {
            go_to(pcid);
            remember(c, page);
            remember(c, global_page, tlb_global);
            remember(c, other_page);
        }
    }
    void expect(u64 pcid, bool has_page, bool has_global, bool has_other) {
        SCOPED_TRACE(pcid);
        go_to(pcid);
        EXPECT_EQ(knows(c, page), has_page);
        EXPECT_EQ(knows(c, global_page), has_global);
        EXPECT_EQ(knows(c, other_page), has_other);
    }
};

TEST_F(Spaces, AreKeptWhileBit63SaysSo) {
    fill({1, 2});
    expect(1, true, true, true);
    expect(2, true, true, true);
    EXPECT_EQ(c.cr3, tables | 2);
}

TEST_F(Spaces, OfOnePcidAreNotAnothers) {
    fill({1});
    expect(2, false, false, false);
}

TEST_F(Spaces, Cr3WithoutBit63ForgetsItsPcidButForGlobalPages) {
    fill({1, 2});
    load_cr3(tables | 1);
    expect(1, false, true, false);
    expect(2, true, true, true);
}

TEST_F(Spaces, AnotherTableWithTheSamePcidForgetsWhateverBit63Says) {
    fill({1, 2});
    load_cr3(other_tables | 1 | keep);
    EXPECT_FALSE(knows(c, page));
    EXPECT_TRUE(knows(c, global_page));
}

TEST_F(Spaces, WithoutPcidsEachLoadForgetsAllButGlobalPages) {
    c.cr4.set(Cr4::pcide, false);
    flush_translations(c);
    remember(c, page);
    remember(c, global_page, tlb_global);
    load_cr3(other_tables);
    EXPECT_FALSE(knows(c, page));
    EXPECT_TRUE(knows(c, global_page));
    load_cr3(tables);
    EXPECT_FALSE(knows(c, page));
    EXPECT_TRUE(knows(c, global_page));
}

TEST_F(Spaces, InvlpgReachesGlobalPagesOfEveryPcid) {
    fill({1, 2, 3});
    flush_page(c, Gva{global_page + 0x123});
    for (const u64 pcid : {1u, 2u, 3u}) expect(pcid, true, false, true);
}

TEST_F(Spaces, InvlpgForgetsThePage) {
    fill({1, 2});
    flush_page(c, Gva{page});
    go_to(2);
    EXPECT_FALSE(knows(c, page));
    EXPECT_TRUE(knows(c, other_page));
}

TEST_F(Spaces, OnePageOfOnePcid) {
    fill({1, 2});
    flush_pcid_page(c, 1, Gva{page});
    expect(1, false, true, true);
    expect(2, true, true, true);
}

TEST_F(Spaces, OnePcid) {
    fill({1, 2});
    flush_pcid(c, 1);
    expect(1, false, true, false);
    expect(2, true, true, true);
}

TEST_F(Spaces, AllPcidsButGlobalPages) {
    fill({1, 2});
    flush_but_global(c);
    expect(1, false, true, false);
    expect(2, false, true, false);
}

TEST_F(Spaces, AllPcidsWithGlobalPages) {
    fill({1, 2});
    flush_vpid(c);
    expect(1, false, false, false);
    expect(2, false, false, false);
}

TEST_F(Spaces, ChangesOfCr4ForgetAllPcids) {
    for (const Cr4 bit : {Cr4::pge, Cr4::pcide, Cr4::smep, Cr4::smap}) {
        c.cr4.set(Cr4::pcide);
        fill({1, 2, 0});
        const u64 old = c.cr4.to_raw();
        ASSERT_TRUE(mov_to_cr(4, old ^ u64{1} << static_cast<unsigned>(bit)));
        EXPECT_FALSE(knows(c, global_page));
        ASSERT_TRUE(mov_to_cr(4, old));
        for (const u64 pcid : {0u, 1u, 2u}) expect(pcid, false, false, false);
    }
}

TEST_F(Spaces, ChangesOfCr4ThatDecideNothingForgetNothing) {
    fill({1});
    ASSERT_TRUE(mov_to_cr(4, c.cr4.to_raw() ^ u64{1} << static_cast<unsigned>(Cr4::tsd)));
    expect(1, true, true, true);
}

TEST_F(Spaces, WhatWasWritableWithoutWpIsNotWithIt) {
    fill({1});
    remember(c, page, tlb_writes);
    const u64 old = c.cr0.to_raw();
    ASSERT_TRUE(mov_to_cr(0, old ^ u64{1} << static_cast<unsigned>(Cr0::wp)));
    EXPECT_FALSE(c.tlb->translates(page, tlb_writes));
    ASSERT_TRUE(mov_to_cr(0, old));
    EXPECT_FALSE(c.tlb->translates(page, tlb_writes));
}

TEST_F(Spaces, ChangesOfEferForgetAllPcids) {
    fill({1, 2});
    c.gpr[rcx] = 0xc000'0080;
    c.gpr[rax] = c.efer.to_raw() ^ 0x800;
    c.gpr[rdx] = 0;
    ASSERT_TRUE(exec_wrmsr(c, Insn{}).ok());
    EXPECT_FALSE(knows(c, page));
    c.gpr[rax] = c.efer.to_raw() ^ 0x800;
    ASSERT_TRUE(exec_wrmsr(c, Insn{}).ok());
    for (const u64 pcid : {1u, 2u}) expect(pcid, false, false, false);
}

TEST_F(Spaces, TheOneLeftAloneLongestMakesRoomForANewOne) {
    for (u64 pcid = 1; pcid <= tlb_spaces; ++pcid) fill({pcid});
    go_to(1);
    fill({tlb_spaces + 1});
    EXPECT_TRUE(knows(c, page));
    for (const u64 pcid : {u64{1}, u64{3}, u64{tlb_spaces}}) expect(pcid, true, true, true);
    expect(2, false, false, false);
}

TEST_F(Spaces, APageFaultForgetsItsPage) {
    fill({1, 2, 1});
    (void)raise_page_fault(c, page + 0x10, 2);
    expect(1, false, true, true);
    expect(2, true, true, true);
}

TEST_F(Spaces, StoresToCodeComeByTheSlowPathInAllOfThem) {
    for (const u64 pcid : {1u, 2u}) {
        go_to(pcid);
        remember(c, page, tlb_writes);
        ASSERT_EQ(c.tlb->entry[Tlb::slot_of(page)].write, page);
    }
    withhold_writes(c, 0x1000);
    for (const u64 pcid : {1u, 2u}) {
        go_to(pcid);
        EXPECT_TRUE(c.tlb->translates(page, tlb_writes));
        EXPECT_NE(c.tlb->entry[Tlb::slot_of(page)].write, page);
        c.tlb->set_tags(Tlb::slot_of(page), true);
    }
    withhold_writes(c, 0x1000);
    EXPECT_NE(c.tlb->entry[Tlb::slot_of(page)].write, page) << "once more";
}

TEST_F(Spaces, ADataBreakpointForgetsAllOfThem) {
    fill({1, 2});
    c.dr[0] = page;
    c.gpr[rbx] = 0x1'0401;
    Insn i{};
    i.dst = 7;
    i.src = rbx;
    ASSERT_TRUE(exec_mov_to_dr(c, i).ok());
    expect(1, false, false, false);
    expect(2, false, false, false);
}

TEST_F(Spaces, OneSpaceIsEnoughForTheEngineThatForgets) {
    m.system.engine.one_space = true;
    fill({1, 2});
    expect(1, false, false, false);
    EXPECT_EQ(c.spaces.current, 0u);
}

// One array.

std::unique_ptr<Tlb> empty_array() {
    auto tlb = std::make_unique<Tlb>();
    tlb->reset();
    return tlb;
}

TEST(TlbArray, FlushingAPageTakesThePartsOfItsLargePageAlong) {
    const auto tlb = empty_array();
    constexpr u64 gib = u64{1} << 30;
    tlb->insert(gib + 0x1000, 0x1000, tlb_reads | tlb_large, false);
    tlb->insert(gib + 0x20'0000, 0x2000, tlb_reads, false);
    tlb->insert(2 * gib, 0x3000, tlb_reads | tlb_large, false);
    tlb->flush_page(gib + 0x5000);
    EXPECT_FALSE(tlb->translates(gib + 0x1000, tlb_reads));
    EXPECT_TRUE(tlb->translates(gib + 0x20'0000, tlb_reads));
    EXPECT_TRUE(tlb->translates(2 * gib, tlb_reads));
}

TEST(TlbArray, SlotsThatWereEmptiedAreListedOnce) {
    const auto tlb = empty_array();
    for (unsigned n = 0; n < 3 * tlb_entries; ++n) {
        tlb->insert(page, 0x1000, tlb_reads | tlb_writes, true);
        tlb->flush_page(page);
        EXPECT_FALSE(tlb->translates(page, tlb_reads));
        EXPECT_EQ(tlb->filled_count, 1u);
    }
    tlb->insert(page, 0x1000, tlb_reads, true);
    EXPECT_FALSE(tlb->translates(page, tlb_writes));
    tlb->flush();
    EXPECT_FALSE(tlb->translates(page, tlb_reads));
    EXPECT_EQ(tlb->filled_count, 0u);
}

}  // namespace
}  // namespace postern::cpu

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

constexpr u64 linear = 0x40'0000, global_linear = 0x40'1000;
constexpr u64 ept_a = 0x801e, ept_b = 0x901e;

/// As guests and root would fill them.
struct Filled {
    u16 vpid;
    u64 ept_pointer;
    u64 pcid;
};
constexpr std::array fillings{Filled{0, 0, 0},     Filled{1, ept_a, 0}, Filled{1, ept_a, 5},
                              Filled{1, ept_b, 0}, Filled{2, ept_a, 0}, Filled{2, 0, 0}};

void take_up(Cpu& c, const Filled& f) {
    c.vmx.vpid = f.vpid;
    c.vmx.ept_pointer = f.ept_pointer;
    c.cr3 = 0x9000 | f.pcid;
    select_space(c);
}

struct Operation {
    const char* name;
    Status (*run)(Cpu& c);
    std::string_view left;  // of `fillings`, the page: '+' still there, '-' gone
    std::string_view global_left;
};

constexpr std::array operations{
    Operation{"invept, one", [](Cpu& c) { return invept(c, 1, ept_a); }, "+--+-+", "+--+-+"},
    Operation{"invept, all", [](Cpu& c) { return invept(c, 2, 0); }, "+----+", "+----+"},
    Operation{"invvpid, a page", [](Cpu& c) { return invvpid(c, 0, 1, linear); }, "+---++",
              "++++++"},
    Operation{"invvpid, a global page", [](Cpu& c) { return invvpid(c, 0, 1, global_linear); },
              "++++++", "+---++"},
    Operation{"invvpid, one", [](Cpu& c) { return invvpid(c, 1, 1, 0); }, "+---++", "+---++"},
    Operation{"invvpid, all", [](Cpu& c) { return invvpid(c, 2, 0, 0); }, "+-----", "+-----"},
    Operation{"invvpid, but globals", [](Cpu& c) { return invvpid(c, 3, 1, 0); }, "+---++",
              "++++++"},
    Operation{"vmxoff", [](Cpu& c) { return vmxoff(c); }, "------", "------"},
};

TEST(VmxSpaces, EachInvalidationForgetsWhatItNames) {
    for (const Operation& operation : operations) {
        SCOPED_TRACE(operation.name);
        M m = M::with_guest();
        m.c.cr4 = Cr4Word{Cr4::pae, Cr4::pge, Cr4::pcide, Cr4::vmxe};
        for (const Filled& f : fillings) {
            take_up(m.c, f);
            m.c.tlb->insert(linear, 0x1000, tlb_reads, false);
            m.c.tlb->insert(global_linear, 0x2000, tlb_reads | tlb_global, false);
        }
        take_up(m.c, fillings[0]);
        ASSERT_TRUE(operation.run(m.c).ok());
        for (size_t n = 0; n < fillings.size(); ++n) {
            SCOPED_TRACE(n);
            take_up(m.c, fillings[n]);
            EXPECT_EQ(m.c.tlb->translates(linear, tlb_reads), operation.left[n] == '+');
            EXPECT_EQ(m.c.tlb->translates(global_linear, tlb_reads),
                      operation.global_left[n] == '+');
        }
    }
}

/// INVEPT goes by bits 51:12 of the pointer.
TEST(VmxSpaces, InveptReachesOtherSettingsOfTheSameTables) {
    M m = M::with_guest();
    take_up(m.c, {1, ept_a | 0x40, 0});
    m.c.tlb->insert(linear, 0x1000, tlb_reads, false);
    take_up(m.c, {});
    ASSERT_TRUE(invept(m.c, 1, ept_a).ok());
    take_up(m.c, {1, ept_a | 0x40, 0});
    EXPECT_FALSE(m.c.tlb->translates(linear, tlb_reads));
}

void remember(M& m) { m.c.tlb->insert(linear, 0x1000, tlb_reads, false); }
bool knows(M& m) { return m.c.tlb->translates(linear, tlb_reads); }

TEST(VmxSpaces, BothSidesSurviveTransitionsWithAVpid) {
    for (const bool hosted : {true, false}) {
        M m = M::with_guest();
        m.c.vmx.hosted = hosted;
        m.run();
        exit(m.c, {.reason = BasicReason::hlt});
        remember(m);
        m.run();
        EXPECT_FALSE(knows(m)) << "the root's";
        remember(m);
        exit(m.c, {.reason = BasicReason::hlt});
        EXPECT_TRUE(knows(m));
        m.run();
        EXPECT_TRUE(knows(m));
    }
}

TEST(VmxSpaces, WithoutAVpidBothTransitionsForgetBothSides) {
    M m = M::with_guest();
    m.set(F::secondary_processor_based_controls, 2);
    m.run();
    remember(m);
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_FALSE(knows(m));
    remember(m);
    m.run();
    EXPECT_FALSE(knows(m)) << "the guest's, from before the exit";
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_FALSE(knows(m)) << "the root's, from before the entry";
}

TEST(VmxSpaces, AGuestIsOneWithItsVpidEptAndControls) {
    for (const auto& [field, value] : {std::pair{F::virtual_processor_identifier, u64{2}},
                                       {F::ept_pointer, ept_b},
                                       {F::guest_cr3, u64{0xa000}},
                                       {F::guest_cr4, u64{0x2630}}}) {
        SCOPED_TRACE(name_of(field));
        M m = M::with_guest();
        m.run();
        remember(m);
        exit(m.c, {.reason = BasicReason::hlt});
        m.set(field, value);
        m.run();
        EXPECT_FALSE(knows(m));
    }
}

TEST(VmxSpaces, AnEptViolationForgetsItsPage) {
    for (const u64 qualification : {u64{1} << 7, u64{0}}) {
        M m = M::with_guest();
        m.run();
        remember(m);
        exit(m.c, {.reason = BasicReason::ept_violation,
                   .qualification = qualification,
                   .guest_linear = linear + 8});
        m.run();
        EXPECT_EQ(knows(m), qualification == 0);
    }
}

TEST(VmxSpaces, AGuestWithADataBreakpointStartsWithNone) {
    M m = M::with_guest();
    m.run();
    remember(m);
    exit(m.c, {.reason = BasicReason::hlt});
    m.set(F::guest_dr7, 0x1'0401);
    m.run();
    EXPECT_FALSE(knows(m));
}

}  // namespace
}  // namespace postern::cpu::vmx
