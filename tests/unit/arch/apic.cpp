// SPDX-License-Identifier: Apache-2.0
// Destinations and commands of the local APIC, from the manual's figures and tables.
#include "arch/apic.h"

#include <gtest/gtest.h>

namespace postern::apic {
namespace {

constexpr u32 flat = ~u32{0};
constexpr u32 cluster = 0x0fff'ffff;
constexpr Identity xapic(u32 id, u32 logical, u32 format = flat) {
    return {id, logical << 24, format, false};
}
constexpr Identity x2apic(u32 id) { return {id, 0, flat, true}; }
constexpr ApicMessage physical(u32 destination) {
    return {destination, false, false, DeliveryMode::fixed, 0x40};
}
constexpr ApicMessage logical(u32 destination) {
    return {destination, true, false, DeliveryMode::fixed, 0x40};
}

// SDM 3A, "Physical Destination Mode".
static_assert(is_addressed(physical(3), xapic(3, 0)));
static_assert(!is_addressed(physical(3), xapic(2, 0)));
static_assert(is_addressed(physical(ApicMessage::widened(0xff, false)), xapic(2, 0)));
static_assert(is_addressed(physical(ApicMessage::everybody), x2apic(0x123)));
static_assert(is_addressed(physical(0x123), x2apic(0x123)));
static_assert(!is_addressed(physical(0x23), x2apic(0x123)));

// SDM 3A, "Logical Destination Mode": a bit for each in the flat model.
static_assert(is_addressed(logical(0x05), xapic(0, 0x04)));
static_assert(!is_addressed(logical(0x05), xapic(0, 0x02)));
static_assert(is_addressed(logical(ApicMessage::widened(0xff, true)), xapic(0, 0x80)));
// In the cluster model four bits for the cluster, four for its members; cluster 15 is all.
static_assert(is_addressed(logical(0x21), xapic(0, 0x23, cluster)));
static_assert(!is_addressed(logical(0x24), xapic(0, 0x23, cluster)));
static_assert(!is_addressed(logical(0x31), xapic(0, 0x23, cluster)));
static_assert(is_addressed(logical(0xf1), xapic(0, 0x23, cluster)));
// SDM 3A, "Logical Destination Mode in x2APIC Mode": 16 of each.
static_assert(x2apic_logical_destination(0x25) == 0x0002'0020);
static_assert(is_addressed(logical(0x0002'0021), x2apic(0x25)));
static_assert(!is_addressed(logical(0x0002'0001), x2apic(0x25)));
static_assert(!is_addressed(logical(0x0001'0020), x2apic(0x25)));

struct CommandRow {
    u64 written;
    bool x2apic;
    u32 destination;
    bool logical;
    DeliveryMode mode;
    Shorthand shorthand;
    bool nothing;
};

TEST(ApicCommand, IsDecodedAsTheManualsFigureSays) {
    constexpr u32 all = ApicMessage::everybody;
    const CommandRow rows[] = {
        {0x0200'0000'0000'0041, false, 2, false, DeliveryMode::fixed, Shorthand::none, false},
        {0xff00'0000'0000'0041, false, all, false, DeliveryMode::fixed, Shorthand::none, false},
        {0xff00'0000'0000'0841, false, 0xff, true, DeliveryMode::fixed, Shorthand::none, false},
        {0x0000'0002'0000'0141, true, 2, false, DeliveryMode::lowest_priority, Shorthand::none,
         false},
        {0xffff'ffff'0000'0400, true, all, false, DeliveryMode::nmi, Shorthand::none, false},
        {0x0000'0000'0004'0041, false, 0, false, DeliveryMode::fixed, Shorthand::self, false},
        {0x0000'0000'0008'0041, false, 0, false, DeliveryMode::fixed, Shorthand::all, false},
        {0x0000'0000'000c'4500, false, 0, false, DeliveryMode::init, Shorthand::all_but_self,
         false},
        {0x0100'0000'0000'c500, false, 1, false, DeliveryMode::init, Shorthand::none, false},
        {0x0100'0000'0000'8500, false, 1, false, DeliveryMode::init, Shorthand::none, true},
        {0x0100'0000'0000'0699, false, 1, false, DeliveryMode::start_up, Shorthand::none, false},
    };
    for (const CommandRow& row : rows) {
        const Command command = command_of(row.written, row.x2apic);
        EXPECT_EQ(command.message.destination, row.destination) << std::hex << row.written;
        EXPECT_EQ(command.message.logical, row.logical) << std::hex << row.written;
        EXPECT_EQ(command.message.mode, row.mode) << std::hex << row.written;
        EXPECT_EQ(command.message.vector, static_cast<u8>(row.written));
        EXPECT_EQ(command.shorthand, row.shorthand) << std::hex << row.written;
        EXPECT_EQ(command.nothing, row.nothing) << std::hex << row.written;
        EXPECT_FALSE(command.message.level);
    }
}

TEST(ApicVectors, TheHighestIsFoundInEveryWord) {
    Vectors vectors{};
    EXPECT_EQ(highest(vectors), -1);
    for (unsigned vector = 0; vector < 256; vector += 17) {
        assign(vectors, vector, true);
        EXPECT_EQ(highest(vectors), static_cast<int>(vector));
        EXPECT_TRUE(is_set(vectors, vector));
    }
    assign(vectors, 255, false);
    EXPECT_EQ(highest(vectors), 238);
}

}  // namespace
}  // namespace postern::apic
