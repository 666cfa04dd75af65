// SPDX-License-Identifier: Apache-2.0
// The questions that the rest of the processor asks of the controls and their bitmaps.
#include "cpu/event/controls.h"
#include "unit/cpu/vmx/vmx_machine.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

TEST(VmxQuestion, ControlsCountOnlyInTheGuest) {
    M m = M::with_guest();
    m.turn_on(F::primary_processor_based_controls, 0x80);
    m.turn_on(F::pin_based_controls, 1);
    EXPECT_FALSE(wants(m.c, PrimaryControl::hlt_exiting));
    EXPECT_FALSE(wants(m.c, PinControl::external_interrupt_exiting));
    m.run();
    EXPECT_TRUE(wants(m.c, PrimaryControl::hlt_exiting));
    EXPECT_FALSE(wants(m.c, PrimaryControl::rdtsc_exiting));
    EXPECT_TRUE(wants(m.c, PinControl::external_interrupt_exiting));
    EXPECT_TRUE(wants(m.c, SecondaryControl::enable_ept));
    EXPECT_TRUE(wants(m.c, ExitControl::host_address_space_size));
    m.turn_off(F::primary_processor_based_controls, 0x8000'0000);
    EXPECT_FALSE(wants(m.c, SecondaryControl::enable_ept)) << "not activated";
}

TEST(VmxQuestion, ExceptionBitmap) {
    M m = M::with_guest();
    m.set(F::exception_bitmap, 0x40);
    EXPECT_FALSE(exits_on_exception(m.c, Vector::invalid_opcode, 0));
    m.run();
    EXPECT_TRUE(exits_on_exception(m.c, Vector::invalid_opcode, 0));
    EXPECT_FALSE(exits_on_exception(m.c, Vector::general_protection, 0));
}

struct PageFaultCase {
    u32 bitmap, mask, match, error_code;
    bool exits;
};

TEST(VmxQuestion, PageFaultsExitIfBitmapAndMatchAgree) {
    constexpr PageFaultCase cases[]{
        {0x4000, 0, 0, 7, true},     // all of them
        {0x4000, 0, ~0u, 7, false},  // none
        {0, 0, ~0u, 7, true},        // all of them, the other way
        {0, 0, 0, 7, false},
        {0x4000, 1, 1, 7, true},  // protection violations only
        {0x4000, 1, 1, 6, false},
        {0, 1, 1, 6, true},
        {0x4000, 0x8000, 0x8000, 0x8005, true},  // what the enclave page cache refused
        {0x4000, 0x8000, 0x8000, 5, false},
    };
    for (const PageFaultCase& row : cases) {
        M m = M::with_guest();
        m.set(F::exception_bitmap, row.bitmap);
        m.set(F::page_fault_error_code_mask, row.mask);
        m.set(F::page_fault_error_code_match, row.match);
        m.run();
        EXPECT_EQ(exits_on_exception(m.c, Vector::page_fault, row.error_code), row.exits);
    }
}

TEST(VmxQuestion, PortsWithoutBitmaps) {
    M m = M::with_guest();
    m.turn_on(F::primary_processor_based_controls, u64{1} << 24);
    EXPECT_FALSE(exits_on_io(m.c, 0x80, 1));
    m.run();
    EXPECT_TRUE(exits_on_io(m.c, 0x80, 1));
    M none = M::with_guest();
    none.run();
    EXPECT_FALSE(exits_on_io(none.c, 0x80, 1));
}

TEST(VmxQuestion, PortBitmapsOverrideUnconditionalExiting) {
    M m = M::with_guest();
    m.turn_on(F::primary_processor_based_controls, 3u << 24);
    write_physical(m.c, Hpa{io_bitmap_a_at + 0x7f}, 1, 0x10);  // port 3FCH
    write_physical(m.c, Hpa{io_bitmap_b_at}, 1, 1);            // port 8000H
    m.run();
    EXPECT_TRUE(exits_on_io(m.c, 0x3fc, 1));
    EXPECT_FALSE(exits_on_io(m.c, 0x3f8, 4));
    EXPECT_TRUE(exits_on_io(m.c, 0x3f9, 4));
    EXPECT_FALSE(exits_on_io(m.c, 0x3fd, 1));
    EXPECT_TRUE(exits_on_io(m.c, 0x7fff, 2));
    EXPECT_FALSE(exits_on_io(m.c, 0x7fff, 1));
    EXPECT_FALSE(exits_on_io(m.c, 0xfffe, 2));
    EXPECT_TRUE(exits_on_io(m.c, 0xffff, 2)) << "wraps";
}

TEST(VmxQuestion, MsrBitmaps) {
    M m = M::with_guest();
    write_physical(m.c, Hpa{msr_bitmap_at + 2}, 1, 1);                // read 10H
    write_physical(m.c, Hpa{msr_bitmap_at + 1024 + 0x20}, 1, 2);      // read C0000101H
    write_physical(m.c, Hpa{msr_bitmap_at + 2048 + 0x20 / 8}, 1, 1);  // write 20H
    write_physical(m.c, Hpa{msr_bitmap_at + 3072 + 0x10}, 1, 1);      // write C0000080H
    EXPECT_FALSE(exits_on_rdmsr(m.c, 0x10));
    m.run();
    EXPECT_TRUE(exits_on_rdmsr(m.c, 0x10));
    EXPECT_FALSE(exits_on_wrmsr(m.c, 0x10));
    EXPECT_TRUE(exits_on_rdmsr(m.c, 0xc000'0101));
    EXPECT_FALSE(exits_on_rdmsr(m.c, 0xc000'0100));
    EXPECT_TRUE(exits_on_wrmsr(m.c, 0x20));
    EXPECT_TRUE(exits_on_wrmsr(m.c, 0xc000'0080));
    EXPECT_FALSE(exits_on_rdmsr(m.c, 0xc000'0080));
    EXPECT_TRUE(exits_on_rdmsr(m.c, 0x2000)) << "not covered";
    EXPECT_TRUE(exits_on_wrmsr(m.c, 0xc000'2000));

    M without = M::with_guest();
    without.turn_off(F::primary_processor_based_controls, u64{1} << 28);
    without.run();
    EXPECT_TRUE(exits_on_rdmsr(without.c, 0x10));
    EXPECT_TRUE(exits_on_wrmsr(without.c, 0x10));
}

TEST(VmxQuestion, EnclsBitmapHasOneBitForAllLeavesFrom63) {
    M m = M::with_guest();
    m.set(F::encls_exiting_bitmap, 0x8000'0000'0000'0004);
    m.run();
    EXPECT_FALSE(exits_on_encls(m.c, 2)) << "the control is off";
    M on = M::with_guest();
    on.turn_on(F::secondary_processor_based_controls, u64{1} << 15);
    on.set(F::encls_exiting_bitmap, 0x8000'0000'0000'0004);
    on.run();
    EXPECT_TRUE(exits_on_encls(on.c, 2));
    EXPECT_FALSE(exits_on_encls(on.c, 0));
    EXPECT_TRUE(exits_on_encls(on.c, 63));
    EXPECT_TRUE(exits_on_encls(on.c, 0xffff'ffff));
    EXPECT_FALSE(exits_on_encls(on.c, 62));
}

}  // namespace
}  // namespace postern::cpu::vmx
