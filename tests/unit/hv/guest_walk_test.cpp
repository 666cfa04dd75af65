// SPDX-License-Identifier: Apache-2.0
// A guest's page tables as the hypervisor walks them: rights, error codes, accessed and dirty
// flags, in every paging mode.
#include "hv/memory/guest_walk.h"

#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

using Outcome = WalkResult::Outcome;
using enum GuestAccess;

constexpr u64 linear = 0x0000'1234'5678'9abc;
constexpr u64 page = 0x7'7000;
constexpr u64 accessed = 1u << 5;
constexpr u64 dirty = 1u << 6;

/// Four levels of tables for one page, all rights at every level.
class GuestWalk : public ::testing::Test {
protected:
    GuestWalk() {
        for (unsigned level = 4; level > 0; --level)
            put(level, (level > 1 ? table_of(level - 1) : page) | 7);
    }
    [[nodiscard]] static u64 table_of(unsigned level) { return 0x10'0000 + 0x1000 * u64{level}; }
    [[nodiscard]] static u64 entry_of(unsigned level) {
        return table_of(level) + 8 * (linear >> (12 + 9 * (level - 1)) & 511);
    }
    void put(unsigned level, u64 entry) { machine.write64(entry_of(level), entry); }
    [[nodiscard]] u64 get(unsigned level) const {
        u64 value = 0;
        for (unsigned i = 0; i < 8; ++i)
            value |= u64{machine.processor.ram.at(guest_ram_host + entry_of(level) + i)} << 8 * i;
        return value;
    }
    WalkResult walk_as(GuestAccess access, bool user, bool alignment_override = false) {
        return walk(machine.vm, registers, {Gva{linear}, access, user, alignment_override});
    }
    void expect_found(GuestAccess access, bool user) {
        EXPECT_EQ(walk_as(access, user).outcome, Outcome::found);
    }
    void expect_fault(GuestAccess access, bool user, u32 code) {
        const WalkResult result = walk_as(access, user);
        EXPECT_EQ(result.outcome, Outcome::page_fault);
        EXPECT_EQ(result.error_code.to_raw(), code);
    }

    Machine machine;
    PagingRegisters registers{.cr0 = {Cr0::pe, Cr0::pg, Cr0::wp},
                              .cr3 = table_of(4),
                              .cr4 = {Cr4::pae},
                              .efer = {Efer::lme, Efer::lma, Efer::nxe},
                              .physical_bits = 40};
};

TEST_F(GuestWalk, FindsThePageAndSetsAccessedAndDirty) {
    EXPECT_EQ(walk_as(read, true).address, Gpa{page + 0xabc});
    for (unsigned level = 1; level <= 4; ++level)
        EXPECT_EQ(get(level) & (accessed | dirty), accessed);
    expect_found(write, true);
    EXPECT_EQ(get(1) & (accessed | dirty), accessed | dirty);
    EXPECT_EQ(get(2) & dirty, 0u);
}

TEST_F(GuestWalk, LargePagesEndEarlier) {
    put(2, 0x20'0000 | 0x87);
    EXPECT_EQ(walk_as(write, true).address, Gpa{0x20'0000 | (linear & 0x1f'ffff)});
    EXPECT_EQ(get(2) & dirty, dirty);
    put(3, 0x4000'0000 | 0x87);
    EXPECT_EQ(walk_as(read, true).address, Gpa{0x4000'0000 | (linear & 0x3fff'ffff)});
    put(2, 0x20'2000 | 0x87);
    put(3, table_of(2) | 7);
    expect_fault(read, false, 9);
}

TEST_F(GuestWalk, NotPresentAndReservedBitsHaveTheirErrorCodes) {
    put(3, 0);
    expect_fault(read, false, 0);
    expect_fault(write, true, 6);
    expect_fault(fetch, true, 0x14);
    put(3, table_of(2) | 7 | u64{1} << 45);
    expect_fault(read, true, 0xd);
    for (const unsigned level : {1u, 2u, 4u}) EXPECT_EQ(get(level) & accessed, 0u);
    registers.physical_bits = 46;
    EXPECT_EQ(walk_as(read, true).outcome, Outcome::not_in_memory) << "the table is elsewhere now";
}

TEST_F(GuestWalk, RightsAreTheAndOfAllLevels) {
    put(3, table_of(2) | 5);
    expect_found(read, true);
    expect_fault(write, true, 7);
    expect_fault(write, false, 3);
    registers.cr0.set(Cr0::wp, false);
    expect_found(write, false);
    expect_fault(write, true, 7);
    put(3, table_of(2) | 3);
    expect_fault(read, true, 5);
    expect_found(read, false);
    put(3, table_of(2) | 7 | u64{1} << 63);
    expect_fault(fetch, true, 0x15);
    expect_found(read, true);
    registers.efer.set(Efer::nxe, false);
    expect_fault(read, true, 0xd);
}

TEST_F(GuestWalk, SmapAndSmepGuardUserPagesFromTheSupervisor) {
    registers.cr4.set(Cr4::smap);
    expect_fault(read, false, 1);
    EXPECT_EQ(walk_as(read, false, true).outcome, Outcome::found) << "RFLAGS.AC";
    expect_found(fetch, false);
    registers.cr4.set(Cr4::smep);
    expect_fault(fetch, false, 0x11);
    expect_found(fetch, true);
}

TEST_F(GuestWalk, ProtectionKeysGuardUserPages) {
    registers.cr4.set(Cr4::pke);
    put(1, page | 7 | u64{5} << 59);
    registers.pkru = 2u << 10;  // no writes with key 5
    expect_found(read, true);
    expect_fault(write, true, 0x27);
    registers.pkru = 1u << 10;  // no access
    expect_fault(read, true, 0x25);
    expect_fault(read, false, 0x21);
    expect_found(fetch, true);
}

TEST_F(GuestWalk, ASupervisorsAccessToAPageWithAProtectionKeyIsFree) {
    registers.cr4.set(Cr4::pke);
    registers.pkru = ~0u;
    put(1, page | 7 | u64{5} << 59);
    expect_fault(read, false, 0x21);
    put(1, page | 3 | u64{5} << 59);
    expect_found(read, false);
    expect_found(write, false);
    put(1, page | 7 | u64{5} << 59);
    put(4, table_of(3) | 3);
    expect_found(write, false);
}

TEST_F(GuestWalk, CanonicalAddressesAndFiveLevels) {
    const WalkRequest far{.address = Gva{0x1000'0000'0000'0000}};
    EXPECT_EQ(walk(machine.vm, registers, far).outcome, Outcome::not_canonical);
    registers.cr4.set(Cr4::la57);
    registers.cr3 = table_of(5);
    machine.write64(table_of(5), table_of(4) | 7);
    EXPECT_EQ(walk_as(read, true).address, Gpa{page + 0xabc});
    EXPECT_EQ(walk(machine.vm, registers, far).outcome, Outcome::not_canonical);
    const WalkRequest high{.address = Gva{u64{1} << 50}};
    EXPECT_EQ(walk(machine.vm, registers, high).outcome, Outcome::page_fault);
}

TEST_F(GuestWalk, TablesOutsideMemoryAreNotFollowed) {
    put(2, doorbell.raw() | 7);
    EXPECT_EQ(walk_as(read, true).outcome, Outcome::not_in_memory);
    put(2, epc_base.raw() | 7);
    EXPECT_EQ(walk_as(read, true).outcome, Outcome::not_in_memory);
    EXPECT_TRUE(machine.devices.touches.empty());
}

TEST_F(GuestWalk, PaeTakesItsPointersFromRegisters) {
    registers.efer = {Efer::nxe};
    registers.pdpte = {0, 0x15'0001, 0, 0};
    machine.write64(0x15'0000 + 8 * 3, 0x15'1007);
    machine.write64(0x15'1000 + 8 * 4, page | 7);
    const Gva address{0x4000'0000 + (3u << 21) + (4u << 12) + 0x10};
    EXPECT_EQ(walk(machine.vm, registers, {.address = address}).address, Gpa{page + 0x10});
    EXPECT_EQ(walk(machine.vm, registers, {.address = Gva{0x10}}).outcome, Outcome::page_fault);
    machine.write64(0x15'1000 + 8 * 4, page | 7 | u64{1} << 55);
    EXPECT_EQ(walk(machine.vm, registers, {.address = address}).error_code.to_raw(), 9u);
}

TEST_F(GuestWalk, ThirtyTwoBitPagingHasFourMegabytePagesAbove4GiB) {
    registers.efer = {};
    registers.cr4 = {};
    registers.cr3 = 0x15'0018;
    const auto put32 = [&](u64 at, u32 value) {
        machine.write_bytes(at, {static_cast<u8>(value), static_cast<u8>(value >> 8),
                                 static_cast<u8>(value >> 16), static_cast<u8>(value >> 24)});
    };
    put32(0x15'0000 + 4 * 2, 0x15'1007);
    put32(0x15'1000 + 4 * 5, page | 7);
    const Gva address{(2u << 22) + (5u << 12) + 0x44};
    EXPECT_EQ(walk(machine.vm, registers, {.address = address}).address, Gpa{page + 0x44});
    put32(0x15'0000 + 4 * 2, 0x0080'6087);
    EXPECT_EQ(walk(machine.vm, registers, {.address = address}).outcome, Outcome::not_in_memory);
    registers.cr4.set(Cr4::pse);
    EXPECT_EQ(walk(machine.vm, registers, {.address = address}).address,
              Gpa{0x3'0080'0000 + (5u << 12) + 0x44});
    registers.physical_bits = 33;
    EXPECT_EQ(walk(machine.vm, registers, {.address = address}).error_code.to_raw(), 9u);
}

TEST_F(GuestWalk, WithoutPagingAddressesAreThemselves) {
    registers.cr0 = {Cr0::pe};
    EXPECT_EQ(walk(machine.vm, registers, {.address = Gva{0x777}}).address, Gpa{0x777});
}

/// The same tables in the memory of a guest's guest, which lies at 4 GiB for it: L1 has an EPT with
/// a page of 4 KBytes for each.
class GuestWalkOfL2 : public GuestWalk {
protected:
    static constexpr u64 shift = 0x1'0000'0000;
    static constexpr u64 ept = 0x20'0000;
    static constexpr u64 flags_on = 0x40;

    GuestWalkOfL2() {
        for (unsigned level = 4; level > 0; --level)
            put(level, (shift + (level > 1 ? table_of(level - 1) : page)) | 7);
        registers.cr3 = shift + table_of(4);
        registers.second_level = &second;
        machine.write64(ept, ept + 0x1000 + 7);
        machine.write64(ept + 0x1000 + 8 * 4, ept + 0x2000 + 7);
        machine.write64(ept + 0x2000, ept + 0x3000 + 7);
        for (const u64 each : {page, table_of(1), table_of(2), table_of(3), table_of(4)})
            allow(each, 7);
    }
    [[nodiscard]] static u64 entry_for(u64 each) { return ept + 0x3000 + 8 * (each >> 12); }
    void allow(u64 each, u64 permissions) {
        machine.write64(entry_for(each), each | permissions | 0x30);
    }
    [[nodiscard]] u64 ept_flags(u64 each) const {
        return machine.processor.ram.at(guest_ram_host + entry_for(each) + 1) & 3;
    }
    void set_flags_of_l2() {
        for (unsigned level = 1; level <= 4; ++level) put(level, get(level) | accessed | dirty);
    }
    void expect_refused(GuestAccess access, u64 l2, const Ept12Access& asked, u64 permissions) {
        std::array<u64, 5> before{};
        for (unsigned level = 1; level <= 4; ++level) before[level] = get(level);
        const WalkResult result = walk_as(access, false);
        ASSERT_EQ(result.outcome, Outcome::second_level_fault);
        EXPECT_EQ(result.second_level.l2, Gpa{l2});
        EXPECT_EQ(result.second_level.access.read, asked.read);
        EXPECT_EQ(result.second_level.access.write, asked.write);
        EXPECT_EQ(result.second_level.access.execute, asked.execute);
        EXPECT_EQ(result.second_level.permissions.to_raw(), permissions);
        EXPECT_EQ(result.second_level.final_translation, l2 == shift + page + (linear & 0xfff));
        for (unsigned level = 1; level <= 4; ++level) EXPECT_EQ(get(level), before[level]);
    }

    SecondLevel second{.eptp12 = Eptp::of(ept), .rules = {.max_physical_bits = 46}};
};

TEST_F(GuestWalkOfL2, EveryPhysicalAddressGoesThroughL1sEpt) {
    EXPECT_EQ(walk_as(write, true).address, Gpa{page + 0xabc}) << "L1's";
    for (unsigned level = 2; level <= 4; ++level)
        EXPECT_EQ(get(level) & (accessed | dirty), accessed);
    EXPECT_EQ(get(1) & (accessed | dirty), accessed | dirty);
    EXPECT_EQ(ept_flags(page), 0u) << "L1 did not ask for them";
    registers.cr0 = {Cr0::pe};
    const WalkResult bare = walk(machine.vm, registers, {.address = Gva{shift + page + 7}});
    EXPECT_EQ(bare.address, Gpa{page + 7});
    registers.second_level = nullptr;
    EXPECT_EQ(walk(machine.vm, registers, {.address = Gva{shift + page + 7}}).address,
              Gpa{shift + page + 7});
}

TEST_F(GuestWalkOfL2, FetchesThroughL1sEptWhatItAllows) {
    machine.write_bytes(page + 0xffe, {1, 2});
    machine.write_bytes(page + 0x1000, {3});
    machine.write64(entry_of(1) + 8, (shift + page + 0x1000) | 7);
    allow(page + 0x1000, 7);
    std::array<u8, 3> bytes{};
    const Gva last{(linear & ~u64{0xfff}) + 0xffe};
    EXPECT_EQ(fetch_guest(machine.vm, registers, last, false, bytes.data(), 3), 3u);
    EXPECT_EQ(bytes, (std::array<u8, 3>{1, 2, 3}));
    allow(page + 0x1000, 3);
    EXPECT_EQ(fetch_guest(machine.vm, registers, last, false, bytes.data(), 3), 2u);
    allow(page, 3);
    EXPECT_EQ(fetch_guest(machine.vm, registers, last, false, bytes.data(), 3), 0u);
}

TEST_F(GuestWalkOfL2, ATableThatL1RefusesIsL1sBusiness) {
    for (const unsigned level : {1u, 2u, 3u, 4u}) {
        allow(table_of(level), 0);
        expect_refused(read, shift + entry_of(level), {.read = true}, 0);
        allow(table_of(level), 7);
    }
    machine.write64(entry_for(table_of(2)), table_of(2) | 0x32);
    const WalkResult wrong = walk_as(read, false);
    ASSERT_EQ(wrong.outcome, Outcome::second_level_fault);
    EXPECT_TRUE(wrong.second_level.misconfigured);
    EXPECT_EQ(wrong.second_level.l2, Gpa{shift + entry_of(2)});
}

TEST_F(GuestWalkOfL2, ThePageIsAskedForAsItIsAccessed) {
    const u64 there = shift + page + 0xabc;
    allow(page, 1);
    expect_found(read, true);
    expect_refused(write, there, {.write = true}, 1);
    expect_refused(fetch, there, {.execute = true}, 1);
    allow(page, 4);
    expect_found(fetch, true);
    expect_refused(read, there, {.read = true}, 4);
    put(1, get(1) & ~u64{2});
    expect_fault(write, true, 7);
}

TEST_F(GuestWalkOfL2, FlagsAreSetOnlyWhereL1AllowsWrites) {
    const Ept12Access flags{.read = true, .write = true};
    for (const unsigned level : {1u, 2u, 3u, 4u}) {
        allow(table_of(level), 5);
        expect_refused(read, shift + entry_of(level), flags, 5);
        allow(table_of(level), 7);
    }
    set_flags_of_l2();
    for (const unsigned level : {1u, 2u, 3u, 4u}) allow(table_of(level), 5);
    expect_found(write, true);
}

TEST_F(GuestWalkOfL2, WithFlagsInL1sEptTablesAreWritten) {
    second.eptp12 = Eptp::from_raw(second.eptp12.to_raw() | flags_on);
    set_flags_of_l2();
    expect_found(read, true);
    for (const unsigned level : {1u, 2u, 3u, 4u}) EXPECT_EQ(ept_flags(table_of(level)), 3u);
    EXPECT_EQ(ept_flags(page), 1u);
    expect_found(write, true);
    EXPECT_EQ(ept_flags(page), 3u);
    allow(table_of(3), 5);
    expect_refused(read, shift + entry_of(3), {.read = true, .write = true}, 5);
}

TEST_F(GuestWalkOfL2, ThirtyTwoBitAndPaeTablesGoThroughL1sEptToo) {
    registers.efer = {};
    registers.physical_bits = 36;
    registers.pdpte = {shift + table_of(2) + 1, 0, 0, 0};
    machine.write64(table_of(2), (shift + table_of(1)) | 7);
    machine.write64(table_of(1), (shift + page) | 7);
    EXPECT_EQ(walk(machine.vm, registers, {.address = Gva{0x123}}).address, Gpa{page + 0x123});
    allow(table_of(1), 0);
    EXPECT_EQ(walk(machine.vm, registers, {.address = Gva{0x123}}).second_level.l2,
              Gpa{shift + table_of(1)});
    // 32-bit paging reaches 4 GiB, so that L2's memory is at 0 for it.
    machine.write64(ept + 0x1000, ept + 0x2000 + 7);
    registers.cr4 = {};
    registers.cr3 = table_of(2);
    machine.write64(table_of(2), table_of(1) | 7);
    machine.write64(table_of(1), page | 7);
    allow(table_of(2), 0);
    EXPECT_EQ(walk(machine.vm, registers, {.address = Gva{0x123}}).second_level.l2,
              Gpa{table_of(2)});
    allow(table_of(2), 7);
    EXPECT_EQ(walk(machine.vm, registers, {.address = Gva{0x123}}).second_level.l2,
              Gpa{table_of(1)});
    allow(table_of(1), 7);
    EXPECT_EQ(walk(machine.vm, registers, {.address = Gva{0x123}}).address, Gpa{page + 0x123});
}

}  // namespace
}  // namespace postern::hv::test
