// SPDX-License-Identifier: Apache-2.0
// Vectors, error codes and the double-fault table.
#include "arch/exception.h"

#include <gtest/gtest.h>

#include <set>

namespace postern {
namespace {

static_assert(static_cast<u8>(Vector::divide_error) == 0);
static_assert(static_cast<u8>(Vector::double_fault) == 8);
static_assert(static_cast<u8>(Vector::invalid_tss) == 10);
static_assert(static_cast<u8>(Vector::page_fault) == 14);
static_assert(static_cast<u8>(Vector::x87_floating_point) == 16);
static_assert(static_cast<u8>(Vector::virtualization) == 20);
static_assert(static_cast<u8>(Vector::control_protection) == 21);

static_assert(mnemonic_of(Vector::invalid_opcode) == "#UD");
static_assert(mnemonic_of(Vector::general_protection) == "#GP");
static_assert(mnemonic_of(Vector::page_fault) == "#PF");
static_assert(mnemonic_of(Vector::simd_floating_point) == "#XM");
static_assert(mnemonic_of(Vector::control_protection) == "#CP");
static_assert(mnemonic_of(static_cast<Vector>(32)) == "interrupt");

static_assert(PageFaultError{PageFaultBit::p, PageFaultBit::sgx}.to_raw() == 0x8001);
static_assert(PageFaultError{PageFaultBit::wr, PageFaultBit::us}.to_raw() == 0x6);
static_assert(PageFaultError{PageFaultBit::rsvd, PageFaultBit::id}.to_raw() == 0x18);
static_assert(PageFaultError{PageFaultBit::pk, PageFaultBit::ss}.to_raw() == 0x60);
static_assert(idt_error_code(0x80, false) == 0x402 && idt_error_code(0xd, true) == 0x6b);

TEST(Exception, ExactlyEightVectorsHaveAnErrorCode) {
    const std::set<unsigned> with{8, 10, 11, 12, 13, 14, 17, 21};
    for (unsigned vector = 0; vector < 256; ++vector)
        EXPECT_EQ(has_error_code(static_cast<Vector>(vector)), with.contains(vector)) << vector;
}

TEST(Exception, ClassesAreThoseOfTheManual) {
    const std::set<unsigned> contributory{0, 10, 11, 12, 13, 21};
    const std::set<unsigned> page_faults{14, 20};
    for (unsigned vector = 0; vector < 256; ++vector) {
        const ExceptionClass found = class_of(static_cast<Vector>(vector));
        EXPECT_EQ(found == ExceptionClass::contributory, contributory.contains(vector)) << vector;
        EXPECT_EQ(found == ExceptionClass::page_fault, page_faults.contains(vector)) << vector;
        EXPECT_EQ(found == ExceptionClass::double_fault, vector == 8) << vector;
    }
}

TEST(DoubleFault, TheTableIsTheManuals) {
    using enum ExceptionClass;
    constexpr auto serial = Combination::serial;
    constexpr auto df = Combination::double_fault;
    constexpr auto shutdown = Combination::triple_fault;
    struct Row {
        ExceptionClass first;
        Combination then_benign, then_contributory, then_page_fault;
    };
    constexpr Row rows[] = {
        {benign, serial, serial, serial},
        {contributory, serial, df, serial},
        {page_fault, serial, df, df},
        {double_fault, serial, shutdown, shutdown},
    };
    for (const Row& row : rows) {
        EXPECT_EQ(combine(row.first, benign), row.then_benign);
        EXPECT_EQ(combine(row.first, contributory), row.then_contributory);
        EXPECT_EQ(combine(row.first, page_fault), row.then_page_fault);
    }
}

TEST(DoubleFault, ByVector) {
    EXPECT_EQ(combine(Vector::general_protection, Vector::page_fault), Combination::serial);
    EXPECT_EQ(combine(Vector::page_fault, Vector::general_protection), Combination::double_fault);
    EXPECT_EQ(combine(Vector::page_fault, Vector::page_fault), Combination::double_fault);
    EXPECT_EQ(combine(Vector::invalid_opcode, Vector::page_fault), Combination::serial);
    EXPECT_EQ(combine(Vector::double_fault, Vector::segment_not_present),
              Combination::triple_fault);
    EXPECT_EQ(combine(static_cast<Vector>(0x20), Vector::general_protection), Combination::serial);
}

}  // namespace
}  // namespace postern
