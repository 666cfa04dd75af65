// SPDX-License-Identifier: Apache-2.0
// XSAVE areas with PKRU, the compacted form, the supervisor's instructions, and what CPUID says
// of them. Offsets are the manual's, written out.
#include "cpu/simd/xsave.h"

#include "cpu/cpuid.h"
#include "cpu/exec/system.h"
#include "cpu/msr.h"
#include "cpu/simd/xsave_layout.h"
#include "tests/unit/cpu/simd/simd_machine.h"

namespace postern::cpu {
namespace {

constexpr u64 compacted = u64{1} << 63;
constexpr u64 x87 = 1, sse = 2, avx = 4, pkru = 0x200;

// The standard form's offsets do not depend on what is saved; the compacted form's do.
static_assert(XsaveLayout::standard().size_for(Xcr0Word::from_raw(7)) == 832);
static_assert(XsaveLayout::standard().size_for(Xcr0Word::from_raw(0x203)) == 2696);
static_assert(
    XsaveLayout::compacted(Xcr0Word::from_raw(0x207)).size_for(Xcr0Word::from_raw(0x207)) == 840);
static_assert(
    XsaveLayout::compacted(Xcr0Word::from_raw(0x203)).size_for(Xcr0Word::from_raw(0x203)) == 584);
static_assert(XsaveLayout::compacted(Xcr0Word::from_raw(0xe7)).size_for(Xcr0Word::from_raw(0xe7)) ==
              576 + 256 + 64 + 512 + 1024);

class Xsave : public SimdMachine {
protected:
    Xsave() {
        c.xcr0 = x87 | sse | avx | pkru;
        c.pkru = 0x5555'5554;
        c.cr4.set(Cr4::pke);
        for (unsigned n = 0; n < 16; ++n) {
            c.vector.zmm[n].bytes.fill(static_cast<u8>(0x10 + n));
            c.vector.zmm[n].bytes[16] = static_cast<u8>(0x80 + n);
        }
        std::memset(ram(data), 0xee, 3072);
        std::memset(ram(data + 512), 0, 64);
    }
    bool run(Result<> (*exec)(Cpu&, const Insn&), u64 address, u64 mask) {
        c.gpr[rbx] = address;
        c.gpr[rax] = static_cast<u32>(mask);
        c.gpr[rdx] = mask >> 32;
        Insn i{};
        i.base = rbx;
        i.index = i.segment = row_zero;
        i.form = form_memory;
        c.pending = {};
        return exec(c, i).ok();
    }
    template <class T>
    T at(u64 address) {
        T value;
        std::memcpy(&value, ram(address), sizeof value);
        return value;
    }
    template <class T>
    void put(u64 address, T value) {
        std::memcpy(ram(address), &value, sizeof value);
    }
};

TEST_F(Xsave, TheStandardFormHasPkruAt2688) {
    ASSERT_TRUE(run(exec_xsave, data, pkru));
    EXPECT_EQ(at<u64>(data + 2688), 0x5555'5554u) << "and four reserved bytes";
    EXPECT_EQ(at<u64>(data + 512), pkru);
    EXPECT_EQ(*ram(data + 576), 0xee) << "AVX was not asked for";
    EXPECT_EQ(at<u32>(data + 24), 0xeeee'eeeeu) << "MXCSR goes with SSE and AVX only";
}

TEST_F(Xsave, OnlyComponentsOfXcr0AreSaved) {
    c.xcr0 = x87 | sse;
    ASSERT_TRUE(run(exec_xsave, data, ~u64{0}));
    EXPECT_EQ(at<u64>(data + 512), x87 | sse);
    EXPECT_EQ(*ram(data + 576), 0xee);
    EXPECT_EQ(*ram(data + 2688), 0xee);
}

TEST_F(Xsave, TheCompactedFormClosesTheGaps) {
    ASSERT_TRUE(run(exec_xsavec, data, x87 | pkru));
    EXPECT_EQ(at<u64>(data + 576), 0x5555'5554u);
    EXPECT_EQ(at<u64>(data + 512), x87 | pkru);
    EXPECT_EQ(at<u64>(data + 520), compacted | x87 | pkru);
    EXPECT_EQ(*ram(data + 584), 0xee);
    ASSERT_TRUE(run(exec_xsavec, data, avx | pkru));
    EXPECT_EQ(*ram(data + 576), 0x80);
    EXPECT_EQ(at<u64>(data + 832), 0x5555'5554u);
    EXPECT_EQ(at<u32>(data + 24), 0xeeee'eeeeu) << "MXCSR goes with SSE";
}

TEST_F(Xsave, XsavecForgetsWhatTheHeaderSaidBefore) {
    put<u64>(data + 512, ~u64{0});
    ASSERT_TRUE(run(exec_xsavec, data, sse));
    EXPECT_EQ(at<u64>(data + 512), sse);
    EXPECT_EQ(at<u32>(data + 24), 0x1f80u);
}

TEST_F(Xsave, XrstorOfACompactedAreaFindsComponentsByXcompBv) {
    ASSERT_TRUE(run(exec_xsavec, data, sse | avx | pkru));
    c.pkru = 0;
    for (unsigned n = 0; n < 16; ++n) c.vector.zmm[n].bytes.fill(0);
    ASSERT_TRUE(run(exec_xrstor, data, avx | pkru));
    EXPECT_EQ(c.pkru, 0x5555'5554u);
    EXPECT_EQ(c.vector.zmm[5].bytes[16], 0x85);
    EXPECT_EQ(c.vector.zmm[5].bytes[0], 0) << "SSE was not asked for";
}

TEST_F(Xsave, ACompactedAreaWithoutSseInitialisesMxcsr) {
    set_guest_mxcsr(c, 0x1fbf);
    put<u32>(data + 24, 0xffff'ffff);
    put<u64>(data + 512, u64{0});
    put<u64>(data + 520, compacted | sse | pkru);
    ASSERT_TRUE(run(exec_xrstor, data, sse | pkru));
    EXPECT_EQ(mxcsr(), 0x1f80u) << "what the area holds is not looked at";
    EXPECT_EQ(c.pkru, 0u) << "PKRU: initial";
    EXPECT_EQ(xmm(3), Bytes{});
}

struct HeaderRow {
    u64 xstate_bv, xcomp_bv;
    unsigned offset;  // of a byte that is set besides
    bool legal;
    const char* what;
};

TEST_F(Xsave, XrstorsWantsACompactedAreaAndChecksIt) {
    const HeaderRow rows[]{
        {avx, compacted | avx, 0, true, "AVX in both"},
        {0, compacted | avx, 0, true, "named and not there"},
        {avx, avx, 0, false, "the standard form"},
        {avx, compacted | sse, 0, false, "there and not named"},
        {0, compacted | 0x20, 0, false, "named and not in XCR0 or IA32_XSS"},
        {0, compacted, 528, false, "a reserved byte"},
        {0, compacted, 575, false, "the last reserved byte"},
    };
    for (const HeaderRow& row : rows) {
        std::memset(ram(data + 512), 0, 64);
        put<u64>(data + 512, row.xstate_bv);
        put<u64>(data + 520, row.xcomp_bv);
        if (row.offset != 0) *ram(data + row.offset) = 1;
        EXPECT_EQ(run(exec_xrstors, data, avx), row.legal) << row.what;
        if (!row.legal) {
            EXPECT_TRUE(raised(Vector::general_protection)) << row.what;
        }
    }
}

TEST_F(Xsave, XsavesWritesWhatXsavecDoesAndIsTheSupervisorsOnly) {
    ASSERT_TRUE(run(exec_xsaves, data, sse | pkru));
    EXPECT_EQ(at<u64>(data + 512), sse | pkru);
    EXPECT_EQ(at<u64>(data + 520), compacted | sse | pkru);
    EXPECT_EQ(at<u64>(data + 576), 0x5555'5554u);
    c.cpl = 3;
    for (const auto exec : {exec_xsaves, exec_xrstors}) {
        EXPECT_FALSE(run(exec, data, sse));
        EXPECT_TRUE(raised(Vector::general_protection));
    }
    c.cr4.set(Cr4::osxsave, false);
    EXPECT_FALSE(run(exec_xsaves, data, sse));
    EXPECT_TRUE(raised(Vector::invalid_opcode));
}

TEST_F(Xsave, AFaultInALaterComponentChangesNothing) {
    const u64 area = hole - 2048;
    std::memset(ram(area), 0, 2048);
    EXPECT_FALSE(run(exec_xsave, area, sse | pkru));
    EXPECT_TRUE(raised(Vector::page_fault));
    EXPECT_EQ(c.pending.address, area + 2688);
    EXPECT_EQ(at<u64>(area + 512), 0u);
    EXPECT_EQ(*ram(area + 160), 0);
    put<u64>(area + 512, sse | pkru);
    EXPECT_FALSE(run(exec_xrstor, area, sse | pkru));
    EXPECT_TRUE(raised(Vector::page_fault));
    EXPECT_EQ(c.vector.zmm[1].bytes[0], 0x11);
    EXPECT_EQ(c.pkru, 0x5555'5554u);
}

TEST_F(Xsave, XssHasNoBits) {
    EXPECT_TRUE(write_msr(c, 0xda0, 0).ok());
    EXPECT_FALSE(write_msr(c, 0xda0, 0x100).ok());
    EXPECT_TRUE(raised(Vector::general_protection));
}

// PKRU by its own instructions

TEST_F(Xsave, RdpkruAndWrpkruWantZerosAndCr4Pke) {
    const Insn none{};
    c.gpr[rcx] = u64{1} << 32;  // its upper half does not count
    c.gpr[rdx] = ~u64{0};
    ASSERT_TRUE(exec_rdpkru(c, none).ok());
    EXPECT_EQ(c.gpr[rax], 0x5555'5554u);
    EXPECT_EQ(c.gpr[rdx], 0u);
    c.gpr[rax] = 0xffff'ffff'0000'000c;
    ASSERT_TRUE(exec_wrpkru(c, none).ok());
    EXPECT_EQ(c.pkru, 0xcu);
    c.gpr[rdx] = 1;
    EXPECT_FALSE(exec_wrpkru(c, none).ok());
    EXPECT_TRUE(raised(Vector::general_protection));
    c.gpr[rcx] = 1;
    EXPECT_FALSE(exec_rdpkru(c, none).ok());
    EXPECT_TRUE(raised(Vector::general_protection));
    c.cr4.set(Cr4::pke, false);
    EXPECT_FALSE(exec_rdpkru(c, none).ok());
    EXPECT_TRUE(raised(Vector::invalid_opcode));
    EXPECT_FALSE(exec_wrpkru(c, none).ok());
    EXPECT_TRUE(raised(Vector::invalid_opcode));
    EXPECT_EQ(c.pkru, 0xcu);
}

TEST_F(Xsave, AChangeOfPkruIsAnotherSpaceOfTranslations) {
    const Insn none{};
    c.cr4.set(Cr4::pke);
    flush_translations(c);
    c.tlb->insert(0x40'0000, 0x1000, tlb_reads, false);
    const auto write = [&](u32 value) {
        c.gpr[rcx] = c.gpr[rdx] = 0;
        c.gpr[rax] = value;
        ASSERT_TRUE(exec_wrpkru(c, none).ok());
    };
    write(c.pkru);
    EXPECT_TRUE(c.tlb->translates(0x40'0000, tlb_reads)) << "the same value again";
    write(4);
    EXPECT_FALSE(c.tlb->translates(0x40'0000, tlb_reads));
}

// What software learns of it

TEST_F(Xsave, CpuidLeafDDescribesTheAreas) {
    const CpuidResult main = cpuid(c, 0xd, 0);
    EXPECT_EQ(main.eax, 0x207u);
    EXPECT_EQ(main.ebx, 2696u);
    EXPECT_EQ(main.ecx, 2696u);
    EXPECT_EQ(main.edx, 0u);
    EXPECT_EQ(cpuid(c, 0xd, 1).eax, 0xfu) << "XSAVEOPT, XSAVEC, XGETBV with ECX = 1, XSAVES";
    EXPECT_EQ(cpuid(c, 0xd, 1).ebx, 840u);
    EXPECT_EQ(cpuid(c, 0xd, 1).ecx, 0u) << "IA32_XSS";
    EXPECT_EQ(cpuid(c, 0xd, 2).eax, 256u);
    EXPECT_EQ(cpuid(c, 0xd, 2).ebx, 576u);
    EXPECT_EQ(cpuid(c, 0xd, 9).eax, 8u);
    EXPECT_EQ(cpuid(c, 0xd, 9).ebx, 2688u);
    EXPECT_EQ(cpuid(c, 0xd, 9).ecx, 0u);
    EXPECT_EQ(cpuid(c, 0xd, 5).eax, 0u) << "no opmasks";
    c.xcr0 = 7;
    EXPECT_EQ(cpuid(c, 0xd, 0).ebx, 832u) << "what XCR0 enables";
    EXPECT_EQ(cpuid(c, 0xd, 1).ebx, 832u);
}

TEST_F(Xsave, CpuidShowsWhatTheSystemHasTurnedOn) {
    EXPECT_NE(cpuid(c, 1, 0).ecx & 1u << 27, 0u) << "OSXSAVE";
    EXPECT_NE(cpuid(c, 7, 0).ecx & 1u << 4, 0u) << "OSPKE";
    c.cr4.set(Cr4::osxsave, false);
    c.cr4.set(Cr4::pke, false);
    EXPECT_EQ(cpuid(c, 1, 0).ecx & 1u << 27, 0u);
    EXPECT_EQ(cpuid(c, 7, 0).ecx & 1u << 4, 0u);
}

TEST_F(Xsave, XgetbvOf1IsWhatIsInUse) {
    const Insn none{};
    c.gpr[rcx] = 1;
    ASSERT_TRUE(exec_xgetbv(c, none).ok());
    EXPECT_EQ(c.gpr[rax], 0x207u);
    EXPECT_EQ(c.gpr[rdx], 0u);
    c.gpr[rcx] = 2;
    EXPECT_FALSE(exec_xgetbv(c, none).ok());
    EXPECT_TRUE(raised(Vector::general_protection));
}

TEST_F(Xsave, XsetbvTakesOnlyWhatGoesTogether) {
    const Insn none{};
    struct Row {
        u64 value;
        bool legal;
    };
    for (const Row row :
         {Row{0x207, true}, Row{3, true}, Row{1, true}, Row{0x201, true}, Row{0, false},
          Row{2, false}, Row{5, false}, Row{0xe7, false}, Row{u64{1} << 40, false}}) {
        c.gpr[rcx] = 0;
        c.gpr[rax] = static_cast<u32>(row.value);
        c.gpr[rdx] = row.value >> 32;
        EXPECT_EQ(exec_xsetbv(c, none).ok(), row.legal) << row.value;
        if (row.legal) {
            EXPECT_EQ(c.xcr0, row.value);
        }
    }
}

}  // namespace
}  // namespace postern::cpu
