// SPDX-License-Identifier: Apache-2.0
// What interrupts the enclave, and when.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "tests/sweep/session.h"

namespace postern::sweep {

inline constexpr u64 stride = POSTERN_SWEEP_STRIDE;

/// So many boundaries are visited one by one where the rest of a sweep is not.
inline constexpr u64 window = 2000;

/// One exit where EENTER arrives, and no other.
class Undisturbed final : public Plan {
public:
    void inside(Session&, const EnclaveStop&) override {}
};

/// From the AEP to the first instruction inside, by timer values 0 and 1 in turn.
class ToEresume final : public Plan {
public:
    void inside(Session& session, const EnclaveStop& stop) override;
    void before_eresume(Session& session, const hv::ExitRecord& record) override;

    /// Instructions at the AEP before ERESUME.
    [[nodiscard]] u32 instructions_before() const { return ones_ - 1; }
    [[nodiscard]] bool arrived() const { return arrived_; }

private:
    u32 ones_ = 0;
    bool was_zero_ = false;
    bool arrived_ = false;
    u64 rip_ = 0, time_ = 0;
    std::optional<SavedFrame> first_;
};

/// The guest is stopped where it stands at ERESUME itself, as if that were the AEP. From there
/// it goes on with timers of 0, 1 and 2, again and again.
class AtEresume final : public Plan {
public:
    AtEresume(u32 instructions_before, u64 rounds)
        : instructions_before_{instructions_before}, rounds_{rounds} {}
    void inside(Session& session, const EnclaveStop& stop) override;
    void before_eresume(Session& session, const hv::ExitRecord& record) override;

    [[nodiscard]] u64 rounds_left() const { return rounds_; }

private:
    u32 instructions_before_;
    u64 rounds_;
    u32 timer_ = 0;  // the latest, set at ERESUME
    bool at_eresume_ = false;
    u64 rip_ = 0, time_ = 0;
    SavedFrame before_;
};

/// The timer lets ERESUME complete and nothing more, `count` times. Then it stays away.
class NoProgress final : public Plan {
public:
    NoProgress(u32 until_inside, u64 count) : until_inside_{until_inside}, count_{count} {}
    void inside(Session& session, const EnclaveStop& stop) override;

    [[nodiscard]] u64 livelock_reported_at() const { return reported_at_; }
    [[nodiscard]] bool moved_on() const { return moved_on_; }

private:
    u32 until_inside_;
    u64 count_;
    u64 reported_at_ = 0;
    bool moved_on_ = false;
    std::optional<SavedFrame> first_;
};

/// An event after each instruction of the enclave within the window, then after each
/// `period`-th.
class Stepping : public Plan {
public:
    Stepping(u32 until_inside, u64 period) : until_inside_{until_inside}, period_{period} {}
    void inside(Session& session, const EnclaveStop& stop) override;

    [[nodiscard]] u64 steps() const { return steps_; }

protected:
    /// The event, after so many instructions of the guest.
    virtual void arrange(Session& session, u64 instructions) = 0;
    virtual void expect_cause(Session& session, const hv::ExitRecord& record) = 0;

private:
    u32 until_inside_;
    u64 period_;
    u64 steps_ = 0;
    bool single_ = false;  // the latest step was one instruction long
    std::optional<SavedFrame> before_;
};

class TimerSteps final : public Stepping {
    using Stepping::Stepping;
    void arrange(Session& session, u64 instructions) override;
    void expect_cause(Session& session, const hv::ExitRecord& record) override;
};

class NmiSteps final : public Stepping {
    using Stepping::Stepping;
    void arrange(Session& session, u64 instructions) override;
    void expect_cause(Session& session, const hv::ExitRecord& record) override;
};

/// A debugger's work: where EENTER arrived, the enclave is made to execute its REP MOVSB first,
/// from its data into two pages of its stack, of which the second has no EPT entry. Each
/// iteration is stepped, each step followed by one without progress. Then the registers are put
/// back.
class Repetition final : public Plan {
public:
    static constexpr u64 count = 200;

    explicit Repetition(u32 until_inside) : until_inside_{until_inside} {}
    void inside(Session& session, const EnclaveStop& stop) override;
    void before_eresume(Session& session, const hv::ExitRecord& record) override;

    [[nodiscard]] u64 iterations() const { return iterations_; }
    [[nodiscard]] u64 violations() const { return violations_; }
    [[nodiscard]] bool copied() const { return copied_; }

private:
    void begin(Session& session, const SavedFrame& saved);
    void finish(Session& session);
    void after_iteration(Session& session, const SavedFrame& saved);

    u32 until_inside_;
    bool stepped_ = false;  // the latest entry was for one iteration
    bool finished_ = false;
    u64 iterations_ = 0;
    u64 violations_ = 0;
    bool copied_ = false;
    SavedFrame first_, before_;
};

/// At every timer exit the EPT entries of pages are taken back: all of the guest's, or one after
/// the other of those given.
class PagesTakenBack final : public Plan {
public:
    PagesTakenBack(u64 period, std::vector<Gpa> pages)
        : period_{period}, one_by_one_{true}, pages_{std::move(pages)} {}
    explicit PagesTakenBack(u64 period) : period_{period} {}
    void inside(Session& session, const EnclaveStop& stop) override;
    void before_eresume(Session& session, const hv::ExitRecord& record) override;

    /// Pages that were missed, and how often: by the enclave's own instructions, and by ERESUME
    /// and what stands before it.
    [[nodiscard]] const std::map<u64, u64>& missed_inside() const { return missed_inside_; }
    [[nodiscard]] const std::map<u64, u64>& missed_outside() const { return missed_outside_; }
    /// Guest-physical pages of the enclave.
    [[nodiscard]] const std::set<u64>& enclave_pages() const { return enclave_pages_; }

private:
    void take_back(Session& session);

    u64 period_;
    bool one_by_one_ = false;
    std::vector<Gpa> pages_;
    size_t next_ = 0;
    std::map<u64, u64> missed_inside_, missed_outside_;
    std::set<u64> enclave_pages_;
};

}  // namespace postern::sweep
