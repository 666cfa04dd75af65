// SPDX-License-Identifier: Apache-2.0
// Descriptors, access rights, gates and the TSS, against descriptors written by hand.
#include "arch/regs/segment.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace postern {
namespace {

static_assert(std::is_standard_layout_v<Segment> && std::is_trivially_copyable_v<Segment>);
static_assert(es == 0 && cs == 1 && ss == 2 && ds == 3 && fs == 4 && gs == 5);
static_assert(ldtr == 6 && tr == 7 && segment_count == 8);

static_assert(is_null_selector(0) && is_null_selector(3) && !is_null_selector(4));
static_assert(selects_ldt(0x0c) && !selects_ldt(0x08));
static_assert(selector_offset(0x2b) == 0x28);

static_assert(tss64::rsp_offset(0) == 4 && tss64::rsp_offset(2) == 20);
static_assert(tss64::ist_offset(1) == 36 && tss64::ist_offset(7) == 84);

TEST(Segment, A64BitCodeDescriptor) {
    constexpr Segment code = segment_from_descriptor(0x10, 0x00af'9b00'0000'ffff);
    EXPECT_EQ(code.selector, 0x10);
    EXPECT_EQ(code.access_rights, 0xa09bu);
    EXPECT_EQ(code.limit, 0xffff'ffffu);
    EXPECT_EQ(code.base, 0u);
    EXPECT_TRUE(code.is_code() && code.present() && code.is_long() && code.granularity());
    EXPECT_TRUE(code.is_code_or_data() && code.readable());
    EXPECT_FALSE(code.is_data() || code.db() || code.unusable() || code.conforming());
    EXPECT_EQ(code.dpl(), 0u);
    EXPECT_EQ(code.type(), 11u);
}

TEST(Segment, AUserDataDescriptor) {
    constexpr Segment data = segment_from_descriptor(0x2b, 0x00cf'f300'0000'ffff);
    EXPECT_EQ(data.access_rights, 0xc0f3u);
    EXPECT_TRUE(data.is_data() && data.writable() && data.db());
    EXPECT_FALSE(data.expand_down());
    EXPECT_EQ(data.dpl(), 3u);
    EXPECT_EQ(data.rpl(), 3u);
}

TEST(Segment, BaseAndByteLimitAreCollectedFromTheirPieces) {
    constexpr Segment data = segment_from_descriptor(0x08, 0x1245'9234'5678'abcd);
    EXPECT_EQ(data.base, 0x1234'5678u);
    EXPECT_EQ(data.limit, 0x5'abcdu);
    EXPECT_EQ(data.access_rights, 0x4092u);
}

TEST(Segment, ADescriptorSurvivesTheWayThereAndBack) {
    for (const u64 descriptor :
         {u64{0x00af'9b00'0000'ffff}, u64{0x00cf'f300'0000'ffff}, u64{0x1245'9234'5678'abcd}})
        EXPECT_EQ(descriptor_from_segment(segment_from_descriptor(8, descriptor)), descriptor);
}

TEST(Segment, ASystemDescriptorHasA64BitBase) {
    constexpr Segment tss =
        segment_from_system_descriptor(0x40, 0x9a00'8b78'5634'0067, 0xffff'8000);
    EXPECT_EQ(tss.base, 0xffff'8000'9a78'5634u);
    EXPECT_EQ(tss.limit, 0x67u);
    EXPECT_EQ(tss.access_rights, 0x8bu);
    EXPECT_EQ(tss.type(), static_cast<unsigned>(SystemType::tss_busy));
    EXPECT_FALSE(tss.is_code_or_data());
    EXPECT_EQ(descriptor_from_segment(tss), 0x9a00'8b78'5634'0067u);
    EXPECT_EQ(system_descriptor_high(tss), 0xffff'8000u);
}

TEST(Segment, UnusableIsBit16) {
    EXPECT_TRUE((Segment{0, 0, 0x1'0000, 0, 0, 0}.unusable()));
    EXPECT_EQ(access_rights_unusable, 0x1'0000u);
}

TEST(IdtGate, IsDecoded) {
    constexpr IdtGate gate = idt_gate(0x8123'ee02'0010'4560, 0xffff'ffff);
    EXPECT_EQ(gate.offset, 0xffff'ffff'8123'4560u);
    EXPECT_EQ(gate.selector, 0x10);
    EXPECT_EQ(gate.ist, 2);
    EXPECT_EQ(gate.dpl, 3);
    EXPECT_TRUE(gate.present && gate.is_interrupt_gate());
    EXPECT_FALSE(gate.is_trap_gate());
    EXPECT_TRUE(idt_gate(0x0000'8f00'0010'0000, 0).is_trap_gate());
    EXPECT_FALSE(idt_gate(0x0000'0e00'0010'0000, 0).present);
    // The S bit is not part of a gate's type; with it set there is no gate.
    EXPECT_FALSE(idt_gate(0x0000'9e00'0010'0000, 0).is_interrupt_gate());
}

}  // namespace
}  // namespace postern
