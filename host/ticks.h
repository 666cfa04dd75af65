// SPDX-License-Identifier: Apache-2.0
// The interrupt controller of a processor that runs a hosted guest. It belongs to the host: it
// raises an external interrupt, so that the guest is left by a VM exit, at the time that the
// hypervisor asked for (its timer), when the hypervisor kicks the processor, at a time that a test
// asked for, and where an interruption of an enclave was asked for. The guest's own interrupts are
// the hypervisor's affair.
#pragma once

#include <algorithm>
#include <type_traits>

#include "cpu/sgx/interruption.h"
#include "cpu/system.h"

namespace postern::host {

class HostTicks final : public cpu::InterruptController {
public:
    static constexpr u64 never = ~u64{0};
    static constexpr u8 vector = 0xef;

    struct State {
        u64 due = never;
        u64 timer = never;
        u64 kicked = 0;
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    /// An interrupt comes at absolute time `due`, once.
    void arm(u64 due) { state_.due = due; }
    void disarm() { arm(never); }
    /// The hypervisor's timer: an interrupt comes at absolute time `due`, once.
    void set_timer(u64 due) { state_.timer = due; }
    /// An interrupt comes as soon as the guest can be left.
    void kick() { state_.kicked = 1; }
    [[nodiscard]] u64 due() const {
        return is_asked_now() || state_.kicked != 0 ? 0 : std::min(state_.due, state_.timer);
    }
    /// The interrupt has come: what was due at `now` is over.
    void taken(u64 now) {
        if (now >= state_.due) state_.due = never;
        if (now >= state_.timer) state_.timer = never;
        state_.kicked = 0;
        if (interruptions_ != nullptr) interruptions_->host_tick = 0;
    }
    /// Null: nobody interrupts enclaves.
    void watch(cpu::sgx::Interruptions* interruptions) { interruptions_ = interruptions; }

    int pending_vector(u64 now) override { return now >= due() ? vector : -1; }
    /// The hypervisor leaves interrupts unacknowledged; whoever runs it says taken().
    void acknowledge(u8) override {}
    void end_of_interrupt() override {}
    [[nodiscard]] u64 next_event() const override {
        return state_.kicked != 0 ? 0 : std::min(state_.due, state_.timer);
    }
    [[nodiscard]] u8 task_priority() const override { return 0; }
    void set_task_priority(u8) override {}
    u64 read_msr(u32, u64, bool& fault) override {
        fault = true;
        return 0;
    }
    bool write_msr(u32, u64, u64) override { return false; }

    [[nodiscard]] State state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    [[nodiscard]] bool is_asked_now() const {
        return interruptions_ != nullptr && interruptions_->host_tick != 0;
    }

    cpu::sgx::Interruptions* interruptions_ = nullptr;
    State state_;
};

}  // namespace postern::host
