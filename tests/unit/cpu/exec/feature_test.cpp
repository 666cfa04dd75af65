// SPDX-License-Identifier: Apache-2.0
// Instructions whose feature the model lacks: #UD, or what their bytes meant before there was one.
#include <gtest/gtest.h>

#include <vector>

#include "arch/regs/gpr.h"
#include "support/guest_code.h"

namespace postern::cpu {
namespace {

class WithoutFeature : public testing::Test {
protected:
    GuestCode machine_;

    GuestStop run(Feature lacking, const std::vector<u8>& bytes) {
        machine_.model.features.set(lacking, false);
        machine_.write(guest_at::code, bytes);
        machine_.write(guest_at::code + bytes.size(), GuestCode::hlt);
        return machine_.run(10);
    }
    static bool is_undefined(const GuestStop& stop) {
        return stop.fault && stop.fault->vector == Vector::invalid_opcode;
    }
};

TEST_F(WithoutFeature, TzcntIsBsf) {
    machine_.c.gpr[rcx] = 0;
    machine_.c.gpr[rax] = 0x1234;
    const GuestStop stop = run(Feature::bmi1, {0xf3, 0x48, 0x0f, 0xbc, 0xc1});  // tzcnt rax, rcx
    EXPECT_FALSE(stop.fault);
    EXPECT_EQ(stop.state.gpr[rax], 0x1234u) << "BSF of 0 leaves its destination alone";
}

TEST_F(WithoutFeature, LzcntIsBsr) {
    machine_.c.gpr[rcx] = 0x80;
    const GuestStop stop = run(Feature::lzcnt, {0xf3, 0x48, 0x0f, 0xbd, 0xc1});  // lzcnt rax, rcx
    EXPECT_FALSE(stop.fault);
    EXPECT_EQ(stop.state.gpr[rax], 7u);
}

TEST_F(WithoutFeature, AndnIsUndefined) {
    // andn eax, ecx, edx
    EXPECT_TRUE(is_undefined(run(Feature::bmi1, {0xc4, 0xe2, 0x70, 0xf2, 0xc2})));
}

TEST_F(WithoutFeature, RorxIsUndefined) {
    // rorx eax, ecx, 1
    EXPECT_TRUE(is_undefined(run(Feature::bmi2, {0xc4, 0xe3, 0x7b, 0xf0, 0xc1, 0x01})));
}

TEST_F(WithoutFeature, AdcxIsUndefined) {
    EXPECT_TRUE(is_undefined(run(Feature::adx, {0x66, 0x0f, 0x38, 0xf6, 0xc1})));
}

TEST_F(WithoutFeature, MovbeIsUndefined) {
    EXPECT_TRUE(is_undefined(run(Feature::movbe, {0x0f, 0x38, 0xf0, 0x00})));
}

TEST_F(WithoutFeature, ClwbIsUndefined) {
    EXPECT_TRUE(is_undefined(run(Feature::clwb, {0x66, 0x0f, 0xae, 0x30})));
}

TEST_F(WithoutFeature, PrefetchwIsNoOperation) {
    machine_.c.gpr[rax] = guest_at::not_present;
    EXPECT_FALSE(run(Feature::prefetchw, {0x0f, 0x0d, 0x08}).fault);
}

TEST_F(WithoutFeature, MpxAndCldemoteAreNoOperations) {
    machine_.c.gpr[rax] = guest_at::not_present;
    // bndcl bnd0, [rax]; cldemote [rax]
    EXPECT_FALSE(run(Feature::sgx2, {0xf3, 0x0f, 0x1a, 0x00, 0x0f, 0x1c, 0x00}).fault);
}

TEST_F(WithoutFeature, EnclvIsUndefined) {
    EXPECT_TRUE(is_undefined(run(Feature::sgx_enclv, {0x0f, 0x01, 0xc0})));
}

TEST_F(WithoutFeature, MovdiriIsUndefined) {
    EXPECT_TRUE(is_undefined(run(Feature::sgx2, {0x0f, 0x38, 0xf9, 0x08})));
}

}  // namespace
}  // namespace postern::cpu
