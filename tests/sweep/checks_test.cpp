// SPDX-License-Identifier: Apache-2.0
// The sweep's checks can fail: a recorded exit, falsified word by word, is complained about.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/sweep/one_instruction.h"
#include "tests/sweep/plans.h"

namespace postern::sweep {
namespace {

/// Some exits of the enclave, one instruction after the other, well into its work.
class Recording final : public Plan {
public:
    explicit Recording(u32 first_timer) : timer_{first_timer} {}
    void inside(Session& session, const EnclaveStop& stop) override {
        if (stop.is_first) return session.set_timer(timer_ + 50'000);
        if (frames.empty()) outside = session.outside();
        frames.push_back(stop.saved);
        if (frames.size() < 3) session.set_timer(timer_ + 1);
    }

    std::vector<SavedFrame> frames;
    Outside outside{};

private:
    u32 timer_;
};

class SweepChecks : public ::testing::Test {
protected:
    void SetUp() override {
        ToEresume way;
        Session to_eresume{way, {}};
        to_eresume.run();
        ASSERT_TRUE(way.arrived());
        recording.emplace(way.instructions_before() + 1);
        session.emplace(*recording, SessionOptions{});
        session->run();
        ASSERT_EQ(session->complaints(), "");
        ASSERT_EQ(recording->frames.size(), 3u);
    }
    [[nodiscard]] const SavedFrame& frame() const { return recording->frames[0]; }
    [[nodiscard]] Complaints synthetic(const Outside& seen) const {
        return check_synthetic(seen, frame(), session->aep(), session->tcs());
    }
    [[nodiscard]] Complaints leaks(const Outside& seen) const {
        return check_leaks(seen, frame(), session->first_outside(), session->known());
    }

    std::optional<Recording> recording;
    std::optional<Session> session;
};

TEST_F(SweepChecks, AnExitAsItWasIsNotComplainedAbout) {
    EXPECT_TRUE(synthetic(recording->outside).empty());
    EXPECT_TRUE(leaks(recording->outside).empty());
    EXPECT_TRUE(check_unchanged(recording->outside, session->first_outside()).empty());
    EXPECT_TRUE(check_secret(recording->outside).empty());
}

TEST_F(SweepChecks, AnEnclavesValueInAnyWordIsFound) {
    for (size_t i = 0; i < word::count; ++i) {
        Outside falsified = recording->outside;
        falsified[i] = frame().gprsgx.rip;
        EXPECT_EQ(leaks(falsified).size(), 1u) << name_of_word(i);
        falsified[i] = secret_word(1);
        EXPECT_EQ(check_secret(falsified).size(), 1u) << name_of_word(i);
    }
}

TEST_F(SweepChecks, EachRegisterOfTheEnclaveIsRecognized) {
    size_t recognized = 0;
    std::vector<u64> registers;
    for (const u64 value : frame().general()) registers.push_back(value);
    for (unsigned n = 0; n < 16; ++n)
        for (const unsigned half : {0u, 1u}) registers.push_back(frame().xmm_half(n, half));
    for (const u64 value : registers) {
        Outside falsified = recording->outside;
        falsified[word::general + r9] = value;
        const bool proves = value >= 0x1'0000 && value != ~u64{0} &&
                            std::ranges::find(session->known(), value) == session->known().end();
        EXPECT_EQ(leaks(falsified).size(), proves ? 1u : 0u) << std::hex << value;
        recognized += proves ? 1 : 0;
    }
    EXPECT_GE(recognized, 8u);
}

TEST_F(SweepChecks, ASyntheticRegisterThatIsWrongIsFound) {
    std::vector<size_t> words{word::fcw,
                              word::fsw,
                              word::tag,
                              word::mxcsr,
                              vmcs_index(VmcsField::guest_rip),
                              vmcs_index(VmcsField::guest_rsp),
                              vmcs_index(VmcsField::guest_rflags),
                              vmcs_index(VmcsField::vm_exit_instruction_length)};
    for (size_t n = 0; n < 16; ++n) {
        if (n != rsp) words.push_back(word::general + n);
        words.push_back(word::vector + n * 8);
        words.push_back(word::vector + n * 8 + 1);
        words.push_back(word::x87 + n);
    }
    for (const size_t i : words) {
        Outside falsified = recording->outside;
        falsified[i] ^= 1;
        EXPECT_EQ(synthetic(falsified).size(), 1u) << name_of_word(i);
    }
}

TEST_F(SweepChecks, AChangeOfAnythingThatShouldStayIsFound) {
    size_t free = 0;
    for (size_t i = 0; i < word::count; ++i) {
        Outside falsified = recording->outside;
        falsified[i] ^= 1;
        const size_t complaints = check_unchanged(falsified, session->first_outside()).size();
        EXPECT_LE(complaints, 1u);
        free += 1 - complaints;
    }
    EXPECT_EQ(free, 7u);  // what an exit says about itself, RFLAGS and the timer
}

TEST_F(SweepChecks, NoInstructionAndTwoAreNotOne) {
    const auto& frames = recording->frames;
    const EnclaveMemory& enclave = session->enclave_memory();
    EXPECT_TRUE(progress_between(enclave, frames[0], frames[1]).one);
    EXPECT_TRUE(progress_between(enclave, frames[1], frames[2]).one);
    EXPECT_FALSE(progress_between(enclave, frames[0], frames[0]).one);
    EXPECT_FALSE(progress_between(enclave, frames[0], frames[2]).one);
}

}  // namespace
}  // namespace postern::sweep
