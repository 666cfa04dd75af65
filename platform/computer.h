// SPDX-License-Identifier: Apache-2.0
// A whole PC on which software runs straight on the processors (way "bare"): processors that take
// turns under one clock, devices, interrupt controllers, and the loop that runs them to the end.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cpu/run.h"
#include "cpu/system.h"
#include "platform/boot/start.h"
#include "platform/devices.h"
#include "platform/machine.h"

namespace postern::platform {

enum class BootWay : u8 { automatic, elf, pvh, linux, decompress };

struct ComputerConfig {
    Layout layout;
    const cpu::Model* model = nullptr;  // must outlive the computer
    unsigned processors = 1;
    Kernel kernel;
    BootWay boot = BootWay::automatic;
    cpu::Choices choices;
};

/// What its output goes to. All must outlive the computer.
struct ComputerSurroundings {
    Sink& serial;
    Sink& debug;
    MarkPort::Observer on_mark;
};

/// Why run_until() came back.
enum class ComputerStop : u8 {
    time,           // the time asked for
    power_off,      // by ACPI
    exit_port,      // value: what was written
    reset,          // a reset was asked for
    shutdown,       // a processor's triple fault
    halted,         // every processor waits, and nothing will ever wake one
    unimplemented,  // what: names it
    breakpoint,     // the debugger's; `processor` is at it or has just met it
    interrupted,    // interrupt() was called
};

struct ComputerOutcome {
    ComputerStop stop = ComputerStop::time;
    unsigned processor = 0;
    u32 value = 0;
    const char* what = nullptr;
};

class Computer final : public Clock {
public:
    static Expected<std::unique_ptr<Computer>> create(ComputerConfig config,
                                                      ComputerSurroundings surroundings);
    Computer(const Computer&) = delete;
    Computer& operator=(const Computer&) = delete;
    ~Computer();

    /// Runs until absolute time `until` at the latest, exactly to the instruction.
    ComputerOutcome run_until(u64 until);
    /// One instruction of one processor, the others standing still (the debugger's step).
    ComputerOutcome step(unsigned processor);
    /// From another thread or a signal handler: run_until() comes back soon.
    void interrupt() { interrupted_ = true; }

    [[nodiscard]] u64 now() const override;
    [[nodiscard]] unsigned processor_count() const;
    [[nodiscard]] cpu::Cpu& processor(unsigned n);
    [[nodiscard]] Machine& machine() { return *machine_; }

private:
    Computer() = default;

    std::unique_ptr<Machine> machine_;
    volatile bool interrupted_ = false;
};

}  // namespace postern::platform
