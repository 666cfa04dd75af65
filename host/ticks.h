// SPDX-License-Identifier: Apache-2.0
// The interrupt controller of a processor that runs a hosted guest. It belongs to the host: at a
// time that was asked for it raises an external interrupt, so that the guest is left by a VM
// exit. The guest's own interrupts are the hypervisor's affair. So it does where an interruption of
// an enclave was asked for.
#pragma once

#include "cpu/sgx/interruption.h"
#include "cpu/system.h"

namespace postern::host {

class HostTicks final : public cpu::InterruptController {
public:
    static constexpr u64 never = ~u64{0};
    static constexpr u8 vector = 0xef;

    /// The next interrupt comes at absolute time `due`, and stays until disarmed or armed anew.
    void arm(u64 due) {
        due_ = due;
        if (interruptions_ != nullptr) interruptions_->host_tick = 0;
    }
    void disarm() { arm(never); }
    [[nodiscard]] u64 due() const { return is_asked_now() ? 0 : due_; }
    /// Null: nobody interrupts enclaves.
    void watch(cpu::sgx::Interruptions* interruptions) { interruptions_ = interruptions; }

    int pending_vector(u64 now) override { return now >= due() ? vector : -1; }
    void acknowledge(u8) override { disarm(); }
    void end_of_interrupt() override {}
    [[nodiscard]] u64 next_event() const override { return due_; }
    [[nodiscard]] u8 task_priority() const override { return 0; }
    void set_task_priority(u8) override {}
    u64 read_msr(u32, u64, bool& fault) override {
        fault = true;
        return 0;
    }
    bool write_msr(u32, u64, u64) override { return false; }

private:
    [[nodiscard]] bool is_asked_now() const {
        return interruptions_ != nullptr && interruptions_->host_tick != 0;
    }

    cpu::sgx::Interruptions* interruptions_ = nullptr;
    u64 due_ = never;
};

}  // namespace postern::host
