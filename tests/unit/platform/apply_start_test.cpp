// SPDX-License-Identifier: Apache-2.0
// A start state in a processor: the registers, and that code runs from there.
#include "platform/boot/apply_start.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cpu/flags.h"
#include "cpu/model.h"
#include "cpu/run.h"
#include "platform/boot/linux.h"
#include "platform/machine.h"
#include "unit/platform/bzimage_file.h"

namespace postern::platform {
namespace {

StartState some_start(StartMode mode) {
    StartState start;
    start.mode = mode;
    start.rip = 0x12'3456;
    start.rsi = 0x1'7000;
    start.rax = mode == StartMode::protected_32 ? 0x2bad'b002 : 0;
    start.rbx = 0x1'8000;
    start.cr3 = mode == StartMode::long_64 ? 0x1'0000 : 0;
    start.gdt_base = 0x1'6000;
    start.gdt_limit = 31;
    start.code_selector = 0x10;
    start.data_selector = 0x18;
    return start;
}

class ApplyStart : public ::testing::Test {
protected:
    std::unique_ptr<Machine> machine =
        std::move(*Machine::create(layout_of(64 * mib, 0), &cpu::default_model()));
    cpu::Cpu& c = machine->processor();
};

TEST_F(ApplyStart, LongModeIsOnWithPaging) {
    apply_start(c, some_start(StartMode::long_64));
    EXPECT_EQ(c.cr0.to_raw(), 0x8000'0031u);  // PG, NE, ET, PE
    EXPECT_EQ(c.cr3, 0x1'0000u);
    EXPECT_EQ(c.cr4.to_raw(), 0x20u);    // PAE
    EXPECT_EQ(c.efer.to_raw(), 0x500u);  // LMA, LME
    EXPECT_EQ(c.segment[cs], (Segment{0x10, 0, 0xa09b, ~u32{0}, 0, 0}));
    EXPECT_EQ(c.rip, 0x12'3456u);
}

TEST_F(ApplyStart, ProtectedModeIsWithoutPaging) {
    apply_start(c, some_start(StartMode::protected_32));
    EXPECT_EQ(c.cr0.to_raw(), 0x31u);
    EXPECT_EQ(c.cr4.to_raw(), 0u);
    EXPECT_EQ(c.efer.to_raw(), 0u);
    EXPECT_EQ(c.segment[cs], (Segment{0x10, 0, 0xc09b, ~u32{0}, 0, 0}));
    EXPECT_EQ(c.gpr[rax], 0x2bad'b002u);
    EXPECT_EQ(c.gpr[rbx], 0x1'8000u);
}

TEST_F(ApplyStart, SegmentsAreFlatAndInterruptsOff) {
    c.cpl = 3;
    c.gpr.fill(1);
    apply_start(c, some_start(StartMode::long_64));
    for (const SegmentIndex index : {es, ss, ds, fs, gs})
        EXPECT_EQ(c.segment[index], (Segment{0x18, 0, 0xc093, ~u32{0}, 0, 0}));
    EXPECT_EQ(c.segment[tr].access_rights, 0x8bu);
    EXPECT_TRUE(c.segment[ldtr].unusable());
    EXPECT_EQ(c.gdtr.base, 0x1'6000u);
    EXPECT_EQ(c.gdtr.limit, 31u);
    EXPECT_EQ(c.idtr.limit, 0u);
    EXPECT_EQ(c.cpl, 0u);
    EXPECT_EQ(cpu::rflags(c), 2u);
    EXPECT_EQ(c.gpr[rsi], 0x1'7000u);
    EXPECT_EQ(c.gpr[rax], 0u);
}

TEST_F(ApplyStart, AKernelRunsFromThere) {
    test::ElfFile inside = test::small_vmlinux();
    // mov eax, [rsi + 0x202]; mov ecx, ds; mov ds, ecx; hlt
    const u8 code[] = {0x8b, 0x86, 0x02, 0x02, 0, 0, 0x8c, 0xd9, 0x8e, 0xd9, 0xf4};
    for (size_t i = 0; i < sizeof code; ++i) inside.put(0x1000 + i, code[i], 1);
    inside.put(64 + 32, sizeof code, 8);  // the segment's size in the file
    Kernel kernel;
    kernel.file = test::BzImageFile{test::pack_xz(inside.bytes)}.bytes;
    const auto start =
        load_linux(kernel, {machine->ram(), machine->layout()}, {0, memory_map(machine->layout())});
    ASSERT_TRUE(start.has_value());
    apply_start(c, *start);
    ASSERT_EQ(cpu::run(c, 1000), cpu::RunOutcome::halted);
    EXPECT_EQ(c.gpr[rax], 0x5372'6448u);  // "HdrS", found through RSI
    EXPECT_EQ(c.gpr[rcx], 0x18u);
}

}  // namespace
}  // namespace postern::platform
