// SPDX-License-Identifier: Apache-2.0
// A debugger's target for tests: one or two bare processors in 64-bit mode with an identity map
// of the first 2 MiB, and the code of the test at `code_base`.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "cpu/model.h"
#include "cpu/run.h"
#include "platform/debug/target.h"
#include "platform/machine.h"

namespace postern::platform::test {

inline constexpr u64 code_base = 0x1'0000, data_base = 0x2'0000, stack_top = 0x3'0000;
inline constexpr u64 tables_base = 0x4'0000;

class MachineTarget final : public DebugTarget {
public:
    explicit MachineTarget(std::span<const u8> code) {
        auto made = Machine::create(layout_of(64 * mib, 2 * mib), &cpu::default_model());
        machine_ = std::move(*made);
        cpu::System& system = machine_->system();
        system.processors[0] = &machine_->processor();
        system.processor_count = 1;
        std::ranges::copy(code, machine_->ram() + code_base);
        for (const auto& [at, value] : std::initializer_list<std::pair<u64, u64>>{
                 {0, tables_base + 0x1003}, {0x1000, tables_base + 0x2003}, {0x2000, 0x83}})
            std::memcpy(machine_->ram() + tables_base + at, &value, 8);
        cpu::Cpu& c = machine_->processor();
        c.cr0 = Cr0Word{Cr0::pe, Cr0::mp, Cr0::et, Cr0::ne, Cr0::wp, Cr0::pg};
        c.cr3 = tables_base;
        c.cr4 = Cr4Word{Cr4::pae, Cr4::osfxsr};
        c.efer = EferWord{Efer::lme, Efer::lma, Efer::nxe};
        c.segment[cs] = {8, 0, 0xa09b, 0xffff'ffff, 0, 0};
        for (const SegmentIndex s : {ss, ds, es}) c.segment[s] = {16, 0, 0xc093, 0xffff'ffff, 0, 0};
        c.rip = code_base;
        c.gpr[rsp] = stack_top;
    }

    cpu::System& system() override { return machine_->system(); }
    [[nodiscard]] unsigned processor_count() const override { return 1; }
    cpu::Cpu& processor(unsigned) override { return machine_->processor(); }
    [[nodiscard]] u64 now() const override { return cpu::now(machine_->processor()); }
    [[nodiscard]] unsigned current() const override { return 0; }
    [[nodiscard]] Machine& machine() { return *machine_; }

    DebugOutcome run(u64 until) override { return outcome_of(cpu::run(processor(0), until)); }
    DebugOutcome step(unsigned) override { return outcome_of(cpu::run(processor(0), now() + 1)); }

private:
    DebugOutcome outcome_of(cpu::RunOutcome outcome) {
        const u32 value = machine_->bus().stop_request().value;
        switch (outcome) {
            case cpu::RunOutcome::time: return {};
            case cpu::RunOutcome::breakpoint: return {DebugStop::breakpoint, 0, 0, {}};
            case cpu::RunOutcome::halted: return {DebugStop::halted, 0, 0, {}};
            case cpu::RunOutcome::shutdown: return {DebugStop::shutdown, 0, 0, {}};
            case cpu::RunOutcome::stop_requested: return {DebugStop::exit_port, 0, value, {}};
            default: return {DebugStop::unimplemented, 0, 0, processor(0).pending.what};
        }
    }
    std::unique_ptr<Machine> machine_;
};

}  // namespace postern::platform::test
