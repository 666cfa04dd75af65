// SPDX-License-Identifier: Apache-2.0
// A whole PC as a debugger's target.
#pragma once

#include <functional>

#include "platform/computer.h"
#include "platform/debug/target.h"

namespace postern::platform {

class ComputerTarget final : public DebugTarget {
public:
    /// Nothing runs beyond time `last`. `between` is called whenever the computer has come back,
    /// and says whether the run's wall-clock limit is reached.
    ComputerTarget(Computer& computer, u64 last, std::function<bool()> between)
        : computer_{&computer}, last_{last}, between_{std::move(between)} {}

    [[nodiscard]] cpu::System& system() override { return computer_->machine().system(); }
    [[nodiscard]] unsigned processor_count() const override { return computer_->processor_count(); }
    [[nodiscard]] cpu::Cpu& processor(unsigned n) override { return computer_->processor(n); }
    [[nodiscard]] u64 now() const override { return computer_->now(); }
    [[nodiscard]] unsigned current() const override { return computer_->state().turn; }

    DebugOutcome run(u64 until) override;
    DebugOutcome step(unsigned processor) override;
    std::string save(const std::string& path) override;

private:
    DebugOutcome finish(const ComputerOutcome& outcome);

    Computer* computer_;
    u64 last_;
    std::function<bool()> between_;
};

}  // namespace postern::platform
