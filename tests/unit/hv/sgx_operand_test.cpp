// SPDX-License-Identifier: Apache-2.0
// Operands of ENCLS: the rule for their addresses (K19), and the walk of the guest's page tables
// with its faults.
#include "hv/sgx/operand.h"

#include "arch/exception.h"
#include "hv/sgx/data_walk.h"
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

constexpr u32 read_write = 0xc093, read_only = 0xc091, expands_down = 0xc097;
constexpr u32 execute_only = 0xc099, execute_read = 0xc09b, unusable = 0x1'0000;
constexpr u64 refused = ~u64{0} - 1;

constexpr u64 linear(const OperandRules& rules, u64 effective, u64 size, u64 alignment) {
    const Result<Gva> found = operand_linear(rules, effective, size, alignment);
    return found.ok() ? found.value().raw() : refused;
}
constexpr OperandRules segment(u32 rights, u32 limit, u64 base = 0) {
    return {.mode64 = false, .ds = {0x10, 0, rights, limit, 0, base}};
}

// 64-bit mode: canonical and aligned, and no segment.
constexpr OperandRules mode64{.ds = {0, 0, unusable, 0, 0, 0x5000}};
constexpr OperandRules mode64_la57{.linear_bits = 57};
static_assert(linear(mode64, 0x1000, 4096, 4096) == 0x1000);
static_assert(linear(mode64, 0x1020, 32, 32) == 0x1020);
static_assert(linear(mode64, 0x1010, 32, 32) == refused);
static_assert(linear(mode64, 0x7fff'ffff'f000, 4096, 4096) == 0x7fff'ffff'f000);
static_assert(linear(mode64, 0x8000'0000'0000, 4096, 4096) == refused);
static_assert(linear(mode64, 0xffff'7fff'ffff'f000, 4096, 4096) == refused);
static_assert(linear(mode64, 0xffff'8000'0000'0000, 4096, 4096) == 0xffff'8000'0000'0000);
static_assert(linear(mode64, 0xffff'ffff'ffff'f000, 4096, 4096) == 0xffff'ffff'ffff'f000);
static_assert(linear(mode64_la57, 0x8000'0000'0000, 4096, 4096) == 0x8000'0000'0000);
static_assert(linear(mode64_la57, 0x0100'0000'0000'0000, 4096, 4096) == refused);

// Elsewhere: 32 bits of the register, a segment that may be read and grows upwards.
constexpr OperandRules flat = segment(read_write, 0xffff'ffff);
static_assert(linear(flat, 0x1000, 4096, 4096) == 0x1000);
static_assert(linear(flat, 0xffff'ffff'0000'1000, 4096, 4096) == 0x1000);
static_assert(linear(flat, 0xffff'f000, 4096, 4096) == 0xffff'f000);
static_assert(linear(segment(read_only, 0xffff'ffff), 0x1000, 32, 32) == 0x1000);
static_assert(linear(segment(execute_read, 0xffff'ffff), 0x1000, 32, 32) == 0x1000);
static_assert(linear(segment(execute_only, 0xffff'ffff), 0x1000, 32, 32) == refused);
static_assert(linear(segment(expands_down, 0xfff), 0x2000, 32, 32) == refused);
static_assert(linear(segment(unusable | read_write, 0xffff'ffff), 0x1000, 32, 32) == refused);
// The limit is the last byte's.
static_assert(linear(segment(read_write, 0x1fff), 0x1000, 4096, 4096) == 0x1000);
static_assert(linear(segment(read_write, 0x1ffe), 0x1000, 4096, 4096) == refused);
static_assert(linear(segment(read_write, 0xfff), 0x1000, 1, 1) == refused);
// No sum wraps: the last page needs the whole limit.
static_assert(linear(segment(read_write, 0xffff'fffe), 0xffff'f000, 4096, 4096) == refused);
// It is the linear address that is aligned, and it has 32 bits.
static_assert(linear(segment(read_write, 0xffff'ffff, 0x10), 0x1010, 32, 32) == 0x1020);
static_assert(linear(segment(read_write, 0xffff'ffff, 0x10), 0x1020, 32, 32) == refused);
static_assert(linear(segment(read_write, 0xffff'ffff, 0xffff'f000), 0x2000, 32, 32) == 0x1000);

constexpr u64 p = 1, w = 2, u = 4, a = 0x20, d = 0x40, ps = 0x80, nx = u64{1} << 63;
constexpr u32 wr = 2, rsvd = 8, pk = 0x20;  // bits of a #PF's error code

/// Page tables at 20000H: three levels, then the page table at 23000H.
struct WalkTest : ::testing::Test {
    Machine machine;
    DataRules rules{.cr0 = Cr0Word{Cr0::pe, Cr0::pg, Cr0::wp},
                    .cr3 = 0x2'0000,
                    .cr4 = Cr4Word{Cr4::pae},
                    .efer = EferWord{Efer::lme, Efer::lma, Efer::nxe},
                    .physical_bits = 46};

    void SetUp() override {
        machine.write64(0x2'0000, 0x2'1000 | p | w | u);
        machine.write64(0x2'1000, 0x2'2000 | p | w | u);
        machine.write64(0x2'2000, 0x2'3000 | p | w | u);
    }
    void leaf(u64 entry) { machine.write64(0x2'3000 + 8 * 5, entry); }
    [[nodiscard]] u64 read64(u64 gpa) const {
        u64 value = 0;
        for (unsigned i = 0; i < 8; ++i)
            value |= u64{machine.processor.ram.at(guest_ram_host + gpa + i)} << 8 * i;
        return value;
    }
    [[nodiscard]] DataAddress walk(bool write, u64 address = 0x5678) const {
        return walk_data(machine.vm, rules, Gva{address}, write);
    }
    void expect_fault(bool write, u32 code) {
        const DataAddress found = walk(write);
        EXPECT_TRUE(found.faulted);
        EXPECT_EQ(found.error_code, code);
    }
};

TEST_F(WalkTest, FindsThePageAndSetsAccessedAndDirty) {
    leaf(0x9000 | p | w);
    EXPECT_EQ(walk(false).address.raw(), 0x9678u);
    EXPECT_EQ(read64(0x2'3028), 0x9000 | p | w | a);
    EXPECT_EQ(read64(0x2'0000), 0x2'1000 | p | w | u | a);
    EXPECT_FALSE(walk(true).faulted);
    EXPECT_EQ(read64(0x2'3028), 0x9000 | p | w | a | d);
    EXPECT_EQ(read64(0x2'2000), 0x2'3000 | p | w | u | a) << "dirty is the leaf's";
}

TEST_F(WalkTest, AFaultSetsNoFlag) {
    leaf(0x9000 | p);
    expect_fault(true, wr | 1);
    EXPECT_EQ(read64(0x2'3028), 0x9000 | p);
    EXPECT_EQ(read64(0x2'0000), 0x2'1000 | p | w | u);
}

TEST_F(WalkTest, AMissingPageAndAReservedBitFault) {
    leaf(0);
    expect_fault(false, 0);
    expect_fault(true, wr);
    leaf(0x9000 | p | w | u64{1} << 46);
    expect_fault(false, rsvd | 1);
    leaf(0x9000 | p | w | nx);
    EXPECT_FALSE(walk(false).faulted) << "data";
    rules.efer.set(Efer::nxe, false);
    expect_fault(false, rsvd | 1);
}

TEST_F(WalkTest, OnlyWpKeepsRing0FromAReadOnlyPage) {
    leaf(0x9000 | p);
    expect_fault(true, wr | 1);
    rules.cr0.set(Cr0::wp, false);
    EXPECT_FALSE(walk(true).faulted);
}

TEST_F(WalkTest, SmapKeepsRing0FromUserPagesUnlessAcIsSet) {
    leaf(0x9000 | p | w | u);
    EXPECT_FALSE(walk(false).faulted);
    rules.cr4.set(Cr4::smap);
    expect_fault(false, 1);
    rules.ac = true;
    EXPECT_FALSE(walk(false).faulted);
}

TEST_F(WalkTest, ProtectionKeysHoldForUserPages) {
    leaf(0x9000 | p | w | u | u64{3} << 59);
    rules.cr4.set(Cr4::pke);
    rules.pkru = 1u << 6;
    expect_fault(false, pk | 1);
    rules.pkru = 2u << 6;
    EXPECT_FALSE(walk(false).faulted);
    expect_fault(true, pk | wr | 1);
    leaf(0x9000 | p | w | u64{3} << 59);
    EXPECT_FALSE(walk(true).faulted) << "a supervisor's page";
}

TEST_F(WalkTest, ATableThatLiesNowhereReadsAsAllOnes) {
    machine.write64(0x2'2000, nowhere.raw() | p | w);
    expect_fault(false, rsvd | 1);
}

TEST_F(WalkTest, LargePagesOfFourLevels) {
    machine.write64(0x2'2000, 0x20'0000 | p | w | ps);
    EXPECT_EQ(walk(false).address.raw(), 0x20'5678u);
    machine.write64(0x2'1000, 0x4000'0000 | p | w | ps);
    EXPECT_EQ(walk(false).address.raw(), 0x4000'5678u);
}

TEST_F(WalkTest, FiveLevels) {
    rules.cr4.set(Cr4::la57);
    rules.cr3 = 0x2'4000;
    machine.write64(0x2'4000, 0x2'0000 | p | w);
    leaf(0x9000 | p | w);
    EXPECT_EQ(walk(false).address.raw(), 0x9678u);
}

TEST_F(WalkTest, Pae) {
    rules.efer = EferWord{Efer::nxe};
    rules.pdpte = {0x2'2000 | p, 0, 0x2'2000 | p, 0};
    leaf(0x9000 | p | w);
    EXPECT_EQ(walk(false).address.raw(), 0x9678u);
    EXPECT_EQ(walk(false, 0x8000'5678).address.raw(), 0x9678u);
    EXPECT_TRUE(walk(false, 0x4000'5678).faulted);
    leaf(0x9000 | p | w | u64{1} << 60);
    expect_fault(false, rsvd | 1);
}

TEST_F(WalkTest, TwoLevelsOf32Bits) {
    rules.efer = {};
    rules.cr4 = Cr4Word{Cr4::pse};
    rules.cr3 = 0x2'5000;
    const auto write32 = [&](u64 gpa, u32 value) {
        machine.write_bytes(gpa, {static_cast<u8>(value), static_cast<u8>(value >> 8),
                                  static_cast<u8>(value >> 16), static_cast<u8>(value >> 24)});
    };
    write32(0x2'5000, 0x2'6000 | p | w);
    write32(0x2'6014, 0x9000 | p | w);
    EXPECT_EQ(walk(false).address.raw(), 0x9678u);
    EXPECT_EQ(read64(0x2'6014) & 0xffff'ffff, 0x9000 | p | w | a);
    write32(0x2'5000, 0xc0'0000 | p | w | ps | 3u << 13);
    EXPECT_EQ(walk(false).address.raw(), 0x3'00c0'5678u);
    write32(0x2'5000, 0xc0'0000 | p | w | ps | 1u << 21);
    expect_fault(false, rsvd | 1);
    write32(0x2'5000, 0);
    expect_fault(true, wr);
}

TEST_F(WalkTest, WithoutPagingAnAddressIsPhysical) {
    rules.cr0 = Cr0Word{Cr0::pe};
    EXPECT_EQ(walk(true).address.raw(), 0x5678u);
}

}  // namespace
}  // namespace postern::hv::test
