// SPDX-License-Identifier: Apache-2.0
// Images of the extended state, byte by byte, and the instructions that make and load them.
// Offsets and values are the manual's, written out.
#include "cpu/simd/fxstate.h"

#include "cpu/simd/xsave.h"
#include "cpu/x87/control.h"

#include "tests/unit/cpu/simd/simd_machine.h"

namespace postern::cpu {
namespace {

constexpr u64 no_operand = 0;

class Fxstate : public SimdMachine {
protected:
    /// Different bytes everywhere.
    void fill() {
        c.vector.x87.fcw = 0x0f7f;
        c.vector.x87.fsw = 0x3800;  // TOP = 7
        c.vector.x87.tag = 0x81;
        for (unsigned n = 0; n < 8; ++n) {
            c.vector.x87.st[n].fill(static_cast<u8>(0xa0 + n));
            c.vector.x87.st[n][0] = static_cast<u8>(n);
        }
        for (unsigned n = 0; n < 16; ++n) {
            c.vector.zmm[n].bytes.fill(static_cast<u8>(0x10 + n));
            c.vector.zmm[n].bytes[16] = static_cast<u8>(0x80 + n);
        }
        set_guest_mxcsr(c, 0x1fbf);
    }
    [[nodiscard]] Insn memory_at(u64 address) {
        c.gpr[rbx] = address;
        Insn i{};
        i.base = rbx;
        i.index = i.segment = row_zero;
        i.form = form_memory;
        return i;
    }
    bool run(Result<> (*exec)(Cpu&, const Insn&), u64 address) {
        c.pending = {};
        return exec(c, memory_at(address)).ok();
    }
    void set_mask(u64 features) {
        c.gpr[rax] = features;
        c.gpr[rdx] = 0;
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
    void clear_registers() {
        c.vector = {};
        set_guest_mxcsr(c, 0);
    }
};

TEST_F(Fxstate, FxsaveWritesEachFieldAtItsOffset) {
    fill();
    std::memset(ram(data), 0xee, 512);
    ASSERT_TRUE(run(exec_fxsave, data));
    EXPECT_EQ(at<u16>(data), 0x0f7f);
    EXPECT_EQ(at<u16>(data + 2), 0x3800);
    EXPECT_EQ(at<u16>(data + 4), 0x0081) << "abridged tags, then a reserved byte";
    EXPECT_EQ(at<u16>(data + 6), 0) << "FOP";
    EXPECT_EQ(at<u64>(data + 8), 0u) << "FIP, FCS";
    EXPECT_EQ(at<u64>(data + 16), 0u) << "FDP, FDS";
    EXPECT_EQ(at<u32>(data + 24), 0x1fbfu);
    EXPECT_EQ(at<u32>(data + 28), 0xffffu) << "MXCSR_MASK";
    for (u64 n = 0; n < 8; ++n) {
        EXPECT_EQ(at<u64>(data + 32 + 16 * n), 0x0101'0101'0101'0100 * (0xa0 + n) + n);
        EXPECT_EQ(at<u64>(data + 40 + 16 * n), 0x0101 * (0xa0 + n));
    }
    for (u64 n = 0; n < 16; ++n) {
        EXPECT_EQ(at<u64>(data + 160 + 16 * n), 0x0101'0101'0101'0101 * (0x10 + n));
        EXPECT_EQ(at<u64>(data + 168 + 16 * n), 0x0101'0101'0101'0101 * (0x10 + n));
    }
    for (unsigned n = 416; n < 512; ++n) EXPECT_EQ(*ram(data + n), 0xee) << n;
}

TEST_F(Fxstate, FxsaveSeesTheFlagsThatGatheredInTheUnit) {
    set_xmm(1, lanes<u64>({double_1, 0}));
    set_xmm(2, lanes<u64>({double_0, 0}));
    ASSERT_TRUE(SimdMachine::run({0xf2, 0x0f, 0x5e, 0xca}));  // DIVSD xmm1, xmm2
    ASSERT_TRUE(run(exec_fxsave, data));
    EXPECT_EQ(at<u32>(data + 24), 0x1f84u);
    ASSERT_TRUE(run(exec_stmxcsr, data + 600));
    EXPECT_EQ(at<u32>(data + 600), 0x1f84u);
}

TEST_F(Fxstate, FxrstorLoadsWhatFxsaveSavedAndNoUpperHalves) {
    fill();
    ASSERT_TRUE(run(exec_fxsave, data));
    const VectorState before = c.vector;
    clear_registers();
    ASSERT_TRUE(run(exec_fxrstor, data));
    EXPECT_EQ(c.vector.x87.fcw, before.x87.fcw);
    EXPECT_EQ(c.vector.x87.fsw, before.x87.fsw);
    EXPECT_EQ(c.vector.x87.tag, before.x87.tag);
    EXPECT_EQ(c.vector.x87.st[7][0], 7);
    EXPECT_EQ(c.vector.x87.st[7][9], 0xa7);
    EXPECT_EQ(xmm(15), lanes<u64>({0x1f1f'1f1f'1f1f'1f1f, 0x1f1f'1f1f'1f1f'1f1f}));
    EXPECT_EQ(c.vector.zmm[15].bytes[16], 0);
    EXPECT_EQ(mxcsr(), 0x1fbfu);
}

TEST_F(Fxstate, LoadedRoundingControlRules) {
    put<u32>(data, 0x7f80);
    ASSERT_TRUE(run(exec_ldmxcsr, data));
    set_xmm(1, lanes<u32>({float_2, 0, 0, 0}));
    set_xmm(2, lanes<u32>({float_3, 0, 0, 0}));
    ASSERT_TRUE(SimdMachine::run({0xf3, 0x0f, 0x5e, 0xca}));  // DIVSS: 2/3 towards zero
    EXPECT_EQ(xmm(1), lanes<u32>({0x3f2a'aaaa, 0, 0, 0}));
}

TEST_F(Fxstate, ReservedMxcsrBitsAreGpAndNothingIsLoaded) {
    fill();
    ASSERT_TRUE(run(exec_fxsave, data));
    put<u32>(data + 24, 0x0002'1f80);
    put<u16>(data, 0x037f);
    EXPECT_FALSE(run(exec_fxrstor, data));
    EXPECT_TRUE(raised(Vector::general_protection));
    EXPECT_EQ(c.vector.x87.fcw, 0x0f7f);
    EXPECT_EQ(mxcsr(), 0x1fbfu);
    EXPECT_FALSE(run(exec_ldmxcsr, data + 24));
    EXPECT_TRUE(raised(Vector::general_protection));
    EXPECT_EQ(mxcsr(), 0x1fbfu);
}

TEST_F(Fxstate, MisalignedAreasAreGpBeforeAnyPageFault) {
    EXPECT_FALSE(run(exec_fxsave, hole + 8));
    EXPECT_TRUE(raised(Vector::general_protection));
    EXPECT_FALSE(run(exec_fxrstor, hole + 8));
    EXPECT_TRUE(raised(Vector::general_protection));
    EXPECT_FALSE(run(exec_xsave, hole + 16));
    EXPECT_TRUE(raised(Vector::general_protection));
    EXPECT_FALSE(run(exec_xrstor, hole + 32));
    EXPECT_TRUE(raised(Vector::general_protection));
}

TEST_F(Fxstate, FxsaveIntoTheHoleWritesNothing) {
    fill();
    std::memset(ram(hole - 256), 0xee, 256);
    EXPECT_FALSE(run(exec_fxsave, hole - 256));
    EXPECT_TRUE(raised(Vector::page_fault));
    EXPECT_EQ(c.pending.address, hole);
    for (unsigned n = 1; n <= 256; ++n) EXPECT_EQ(*ram(hole - n), 0xee) << n;
}

TEST_F(Fxstate, TaskSwitchedIsNm) {
    c.cr0.set(Cr0::ts);
    for (const auto exec : {exec_fxsave, exec_fxrstor, exec_ldmxcsr, exec_stmxcsr, exec_xsave,
                            exec_xrstor, exec_fninit, exec_fnstcw}) {
        EXPECT_FALSE(run(exec, data));
        EXPECT_TRUE(raised(Vector::device_not_available));
    }
    EXPECT_TRUE(run(exec_fwait, data)) << "FWAIT asks MP too";
    c.cr0.set(Cr0::mp);
    EXPECT_FALSE(run(exec_fwait, data));
    EXPECT_TRUE(raised(Vector::device_not_available));
}

TEST_F(Fxstate, EmulationIsNmForX87AndUdForSse) {
    c.cr0.set(Cr0::em);
    EXPECT_FALSE(run(exec_fxsave, data));
    EXPECT_TRUE(raised(Vector::device_not_available));
    EXPECT_FALSE(run(exec_ldmxcsr, data));
    EXPECT_TRUE(raised(Vector::invalid_opcode));
}

TEST_F(Fxstate, XsaveWithoutOsxsaveIsUd) {
    c.cr4.set(Cr4::osxsave, false);
    EXPECT_FALSE(run(exec_xsave, data));
    EXPECT_TRUE(raised(Vector::invalid_opcode));
}

TEST_F(Fxstate, XsaveWritesOnlyTheComponentsAskedFor) {
    fill();
    std::memset(ram(data), 0xee, 832);
    set_mask(4);  // AVX
    put<u64>(data + 512, 0x3);
    ASSERT_TRUE(run(exec_xsave, data));
    EXPECT_EQ(at<u64>(data + 512), 7u) << "bits that were not asked for stay";
    EXPECT_EQ(at<u64>(data + 520), 0xeeee'eeee'eeee'eeee) << "XCOMP_BV is not written";
    EXPECT_EQ(*ram(data + 576), 0x80);
    EXPECT_EQ(*ram(data + 577), 0x10);
    EXPECT_EQ(*ram(data + 576 + 240), 0x8f);
    EXPECT_EQ(at<u32>(data + 24), 0x1fbfu) << "MXCSR goes with AVX too";
    EXPECT_EQ(at<u16>(data), 0xeeee);
    EXPECT_EQ(*ram(data + 32), 0xee);
    EXPECT_EQ(*ram(data + 160), 0xee);
}

TEST_F(Fxstate, XsaveOfX87AndSseStopsAtTheHeader) {
    fill();
    std::memset(ram(hole - 576), 0, 576);
    set_mask(3);
    ASSERT_TRUE(run(exec_xsave, hole - 576)) << "no byte of the AVX component is touched";
    EXPECT_EQ(at<u64>(hole - 64), 3u);
    EXPECT_EQ(*ram(hole - 576 + 160), 0x10);
    set_mask(7);
    EXPECT_FALSE(run(exec_xsave, hole - 576));
    EXPECT_TRUE(raised(Vector::page_fault));
    EXPECT_EQ(at<u64>(hole - 64), 3u);
}

TEST_F(Fxstate, XrstorInitialisesWhatTheHeaderLacks) {
    fill();
    set_mask(7);
    std::memset(ram(data), 0, 832);
    ASSERT_TRUE(run(exec_xsave, data));
    put<u64>(data + 512, 2);  // only SSE is there
    c.vector.zmm[3].bytes.fill(0x77);
    ASSERT_TRUE(run(exec_xrstor, data));
    EXPECT_EQ(xmm(3), lanes<u64>({0x1313'1313'1313'1313, 0x1313'1313'1313'1313}));
    EXPECT_EQ(c.vector.zmm[3].bytes[16], 0) << "AVX: initial";
    EXPECT_EQ(c.vector.zmm[3].bytes[32], 0x77) << "not a component of XCR0";
    EXPECT_EQ(c.vector.x87.fcw, 0x037f) << "x87: initial";
    EXPECT_EQ(c.vector.x87.tag, 0);
    EXPECT_EQ(mxcsr(), 0x1fbfu);
}

TEST_F(Fxstate, XrstorTakesMxcsrFromAStandardAreaWithoutSse) {
    std::memset(ram(data), 0, 832);
    put<u32>(data + 24, 0x3f80);
    set_mask(7);
    ASSERT_TRUE(run(exec_xrstor, data));  // XSTATE_BV = 0: all initial
    EXPECT_EQ(mxcsr(), 0x3f80u);
    put<u32>(data + 24, 0x0001'0000);
    EXPECT_FALSE(run(exec_xrstor, data));
    EXPECT_TRUE(raised(Vector::general_protection));
    set_mask(1);
    EXPECT_TRUE(run(exec_xrstor, data)) << "x87 alone does not look at MXCSR";
    EXPECT_EQ(mxcsr(), 0x3f80u);
}

struct HeaderRow {
    unsigned offset;
    u64 value;
    bool legal;
    const char* what;
};

TEST_F(Fxstate, XrstorChecksTheHeaderOfTheStandardForm) {
    constexpr HeaderRow rows[]{
        {512, 7, true, "all of XCR0"},
        {512, 8, false, "a component outside XCR0"},
        {520, 1, false, "XCOMP_BV of the standard form"},
        {528, 1, false, "bytes 23:16"},
        {536, 1, true, "bytes 63:24 are not looked at"},
    };
    for (const HeaderRow& row : rows) {
        std::memset(ram(data), 0, 832);
        put<u64>(data + row.offset, row.value);
        set_mask(7);
        EXPECT_EQ(run(exec_xrstor, data), row.legal) << row.what;
        if (!row.legal) {
            EXPECT_TRUE(raised(Vector::general_protection)) << row.what;
        }
    }
}

TEST_F(Fxstate, InitialisingTouchesTheComponentsNamed) {
    fill();
    init_extended_state(c, 2);
    EXPECT_EQ(xmm(15), Bytes{});
    EXPECT_EQ(mxcsr(), 0x1f80u);
    EXPECT_EQ(c.vector.zmm[15].bytes[16], 0x8f);
    EXPECT_EQ(c.vector.x87.fcw, 0x0f7f);
    init_extended_state(c, 5);
    EXPECT_EQ(c.vector.zmm[15].bytes[16], 0);
    EXPECT_EQ(c.vector.zmm[15].bytes[32], 0x1f);
    EXPECT_EQ(c.vector.x87.fcw, 0x037f);
    EXPECT_EQ(c.vector.x87.tag, 0);
}

// x87, as far as it goes

TEST_F(Fxstate, FninitIsWhatAProbeForTheX87Expects) {
    fill();
    ASSERT_TRUE(run(exec_fninit, no_operand));
    put<u16>(data, 0x5a5a);
    ASSERT_TRUE(run(exec_fnstcw, data));
    EXPECT_EQ(at<u16>(data), 0x037f);
    c.gpr[rax] = 0x1111'2222'3333'5a5a;
    Insn to_ax{};
    ASSERT_TRUE(exec_fnstsw(c, to_ax).ok());
    EXPECT_EQ(c.gpr[rax], 0x1111'2222'3333'0000u);
}

TEST_F(Fxstate, FldcwDropsReservedBitsAndUnmasksPendingExceptions) {
    c.vector.x87.fsw = 0x0004;  // ZE, masked so far
    put<u16>(data, 0xe37f & ~0x44);
    ASSERT_TRUE(run(exec_fldcw, data));
    EXPECT_EQ(c.vector.x87.fcw, 0x037b);
    EXPECT_EQ(c.vector.x87.fsw, 0x8084);
    EXPECT_FALSE(run(exec_fwait, no_operand));
    EXPECT_TRUE(raised(Vector::x87_floating_point));
    ASSERT_TRUE(run(exec_fnclex, no_operand));
    EXPECT_EQ(c.vector.x87.fsw, 0);
    EXPECT_TRUE(run(exec_fwait, no_operand));
}

}  // namespace
}  // namespace postern::cpu
