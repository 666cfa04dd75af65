// SPDX-License-Identifier: Apache-2.0
// The interrupt controller of a processor that runs a hosted guest. It belongs to the host: at a
// time that was asked for it raises an external interrupt, so that the guest is left by a VM
// exit. The guest's own interrupts are the hypervisor's affair.
#pragma once

#include "cpu/system.h"

namespace postern::host {

class HostTicks final : public cpu::InterruptController {
public:
    static constexpr u64 never = ~u64{0};
    static constexpr u8 vector = 0xef;

    /// The next interrupt comes at absolute time `due`, and stays until disarmed or armed anew.
    void arm(u64 due) { due_ = due; }
    void disarm() { due_ = never; }
    [[nodiscard]] u64 due() const { return due_; }

    int pending_vector(u64 now) override { return now >= due_ ? vector : -1; }
    void acknowledge(u8) override { due_ = never; }
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
    u64 due_ = never;
};

}  // namespace postern::host
