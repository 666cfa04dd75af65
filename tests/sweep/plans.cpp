// SPDX-License-Identifier: Apache-2.0
// The plans, each with what must be true of the exits it causes.
#include "tests/sweep/plans.h"

#include <fmt/format.h>

#include "guests/enclave_layout.h"
#include "tests/sweep/one_instruction.h"

namespace postern::sweep {
namespace {

constexpr u32 timer_outside = 52;
constexpr u32 timer_inside = 0x0800'0034;
constexpr u32 nmi_inside = 0x0800'0000;
constexpr u32 nmi_information = 0x8000'0202;
constexpr u32 violation_outside = 48;
constexpr u32 violation_inside = 0x0800'0030;
constexpr u32 enclave_interruption = 1 << 4;

void expect_reason(Session& session, const hv::ExitRecord& record, u32 wanted) {
    if (record.raw_reason == wanted) return;
    session.complain(fmt::format("exit reason {:#x}, not {:#x}", record.raw_reason, wanted));
}

void expect_flag(Session& session, const hv::ExitRecord& record, bool wanted) {
    const bool flag = (record.interruptibility_before & enclave_interruption) != 0;
    if (flag != wanted) session.complain("interruptibility bit 4 is wrong");
}

}  // namespace

void ToEresume::inside(Session& session, const EnclaveStop& stop) {
    if (arrived_) return;
    if (stop.is_first) {
        first_ = stop.saved;
        rip_ = stop.record.rip_or_aep;
        time_ = stop.record.tsc;
        was_zero_ = true;
        return session.set_timer(0);
    }
    arrived_ = true;
    expect_reason(session, stop.record, timer_inside);
    expect_flag(session, stop.record, true);
    if (was_zero_) session.complain("a timer of 0 let ERESUME complete");
    if (!(stop.saved == *first_)) session.complain("ERESUME alone changed the saved frame");
}

void ToEresume::before_eresume(Session& session, const hv::ExitRecord& record) {
    expect_reason(session, record, timer_outside);
    expect_flag(session, record, false);
    if (was_zero_ && (record.rip_or_aep != rip_ || record.tsc != time_))
        session.complain("a timer of 0 let an instruction pass");
    if (!was_zero_ && (record.rip_or_aep == rip_ || record.tsc != time_ + 1))
        session.complain("a timer of 1 did not let one instruction pass");
    rip_ = record.rip_or_aep;
    time_ = record.tsc;
    was_zero_ = !was_zero_;
    if (!was_zero_) ++ones_;
    session.set_timer(was_zero_ ? 0 : 1);
}

void AtEresume::before_eresume(Session& session, const hv::ExitRecord& record) {
    expect_reason(session, record, timer_outside);
    expect_flag(session, record, false);
    if (at_eresume_ && (record.rip_or_aep != rip_ || record.tsc != time_))
        session.complain("a timer of 0 let ERESUME pass");
    timer_ = at_eresume_ ? static_cast<u32>(1 + rounds_ % 2) : 0;
    at_eresume_ = true;
    rip_ = record.rip_or_aep;
    time_ = record.tsc;
    session.set_timer(timer_);
}

void AtEresume::inside(Session& session, const EnclaveStop& stop) {
    if (rounds_ == 0) return;
    if (!stop.is_first) {
        expect_reason(session, stop.record, timer_inside);
        const bool one = progress_between(session.enclave_memory(), before_, stop.saved).one;
        if (timer_ == 0) session.complain("a timer of 0 let ERESUME pass");
        if (timer_ == 1 && !(stop.saved == before_)) session.complain("a timer of 1: progress");
        if (timer_ == 2 && !one) session.complain("a timer of 2: not one instruction");
        --rounds_;
    }
    before_ = stop.saved;
    at_eresume_ = false;
    if (rounds_ != 0) session.set_timer(instructions_before_);
}

void NoProgress::inside(Session& session, const EnclaveStop& stop) {
    if (stop.is_first) first_ = stop.saved;
    if (session.livelocks() != 0 && reported_at_ == 0) reported_at_ = session.enclave_exits();
    if (session.enclave_exits() <= count_) {
        if (!(stop.saved == *first_)) session.complain("progress without an instruction");
        return session.set_timer(until_inside_);
    }
    if (session.enclave_exits() == count_ + 1) return session.set_timer(until_inside_ + 1);
    moved_on_ = progress_between(session.enclave_memory(), *first_, stop.saved).one;
}

namespace {

constexpr u64 source = guests::layout::start_of(guests::layout::data);
constexpr u64 destination =
    guests::layout::start_of(guests::layout::stack) + page_size - Repetition::count / 2;

bool resume_flag(const SavedFrame& saved) { return (saved.gprsgx.rflags >> 16 & 1) != 0; }

}  // namespace

void Repetition::begin(Session& session, const SavedFrame& saved) {
    first_ = saved;
    Gprsgx& registers = session.enclave_memory().gprsgx();
    registers.rip = session.enclave_memory().find_code(0xf3, 0xa4);
    registers.rcx = count;
    registers.rsi = source;
    registers.rdi = destination;
    if (registers.rip == 0) session.complain("the enclave has no REP MOVSB");
    const u64 offset = session.enclave_memory().offset_of(destination + count);
    const u64 epc = session.guest().vm().config().epc.base.raw();
    static_cast<void>(session.guest().vcpu().forget(Gpa{epc + offset}.page()));
    before_ = session.enclave_memory().frame();
}

void Repetition::finish(Session& session) {
    finished_ = true;
    const EnclaveMemory& enclave = session.enclave_memory();
    copied_ = true;
    for (u64 i = 0; i < count; ++i)
        copied_ = copied_ && *enclave.at(destination + i) == *enclave.at(source + i);
    enclave.gprsgx() = first_.gprsgx;
}

void Repetition::after_iteration(Session& session, const SavedFrame& saved) {
    const Progress progress = progress_between(session.enclave_memory(), before_, saved);
    if (!progress.one) session.complain(progress.why_not);
    ++iterations_;
    const bool in_the_middle = saved.gprsgx.rcx != 0;
    if (resume_flag(saved) != in_the_middle)
        session.complain("RF is 1 in the middle of a repetition, and nowhere else");
    before_ = saved;
}

void Repetition::inside(Session& session, const EnclaveStop& stop) {
    if (finished_) return;
    const bool violation = stop.record.raw_reason == violation_inside;
    if (stop.is_first) {
        begin(session, stop.saved);
        stepped_ = true;
    } else if (violation) {
        ++violations_;
        if (!(stop.saved == before_)) session.complain("a violation changed the saved frame");
    } else if (stepped_) {
        after_iteration(session, stop.saved);
        stepped_ = false;
    } else {
        if (!(stop.saved == before_)) session.complain("progress without an instruction");
        stepped_ = true;
    }
    if (before_.gprsgx.rcx == 0) return finish(session);
    session.set_timer(until_inside_ + (stepped_ ? 1 : 0));
}

void Repetition::before_eresume(Session& session, const hv::ExitRecord&) {
    session.complain("an exit before ERESUME");
}

void Stepping::inside(Session& session, const EnclaveStop& stop) {
    if (stop.is_first) {
        session.plant_secret();
    } else {
        ++steps_;
        expect_cause(session, stop.record);
        expect_flag(session, stop.record, true);
    }
    if (single_) {
        const Progress progress = progress_between(session.enclave_memory(), *before_, stop.saved);
        if (!progress.one) session.complain(progress.why_not);
    }
    before_ = stop.saved;
    single_ = period_ == 1 || steps_ < window;
    arrange(session, until_inside_ + (single_ ? 1 : period_));
}

void TimerSteps::arrange(Session& session, u64 instructions) {
    session.set_timer(static_cast<u32>(instructions));
}

void TimerSteps::expect_cause(Session& session, const hv::ExitRecord& record) {
    expect_reason(session, record, timer_inside);
}

void NmiSteps::arrange(Session& session, u64 instructions) {
    session.raise_nmi_after(instructions);
}

void NmiSteps::expect_cause(Session& session, const hv::ExitRecord& record) {
    expect_reason(session, record, nmi_inside);
    if (record.interruption != nmi_information)
        session.complain(fmt::format("interruption information {:#x}", record.interruption));
}

void PagesTakenBack::take_back(Session& session) {
    const auto& layout = session.guest().vm().config().epc;
    if (one_by_one_) {
        static_cast<void>(session.guest().vcpu().forget(pages_[next_++ % pages_.size()]));
        return;
    }
    const auto forget = [&](u64 base, u64 size) {
        for (u64 at = 0; at < size; at += page_size)
            if (session.guest().vm().ept().is_mapped(Gpa{base + at}))
                static_cast<void>(session.guest().vcpu().forget(Gpa{base + at}));
    };
    forget(0, session.guest().machine().layout().ram_size());
    forget(layout.base.raw(), layout.size);
}

void PagesTakenBack::inside(Session& session, const EnclaveStop& stop) {
    if (stop.is_first) {
        session.plant_secret();
        for (const u64 offset : session.enclave_memory().page_offsets())
            enclave_pages_.insert(session.guest().vm().config().epc.base.raw() + offset);
    }
    const hv::ExitRecord& record = stop.record;
    if (record.raw_reason == violation_inside) {
        ++missed_inside_[record.guest_physical];
        if (record.guest_physical % page_size != 0 || record.guest_linear % page_size != 0)
            session.complain("the address of an enclave's access has a page offset");
    } else {
        expect_reason(session, record, timer_inside);
        take_back(session);
    }
    session.set_timer(static_cast<u32>(period_));
}

void PagesTakenBack::before_eresume(Session& session, const hv::ExitRecord& record) {
    expect_reason(session, record, violation_outside);
    expect_flag(session, record, false);
    ++missed_outside_[record.guest_physical & ~(page_size - 1)];
    session.set_timer(static_cast<u32>(period_));
}

}  // namespace postern::sweep
