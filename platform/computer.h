// SPDX-License-Identifier: Apache-2.0
// A whole PC on which software runs straight on the processors (way "bare"): processors that take
// turns under one clock, devices, interrupt controllers.
//
// One clock counts the instructions of all processors. A turn is of at most 10,000 instructions,
// in a fixed order; it ends early when the processor waits (HLT, MWAIT), pauses, or when another
// one's timer or a device is due. When all wait, time goes on to the next event at once.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "cpu/run.h"
#include "cpu/system.h"
#include "platform/boot/boot.h"
#include "platform/device/stdio_port.h"
#include "platform/device/test_device.h"
#include "platform/device/virtio_blk.h"
#include "platform/device/virtio_console.h"
#include "platform/machine.h"
#include "platform/pc_devices.h"
#include "platform/snapshot/snapshot.h"
#include "platform/turns.h"

namespace postern::platform {

/// What software finds under a name in the firmware configuration device.
struct FirmwareFile {
    std::string name;
    std::vector<u8> content;
};

struct ComputerConfig {
    Layout layout;
    const cpu::Model* model = nullptr;  // must outlive the computer
    unsigned processors = 1;
    Kernel kernel;  // an empty file: none, a snapshot follows
    BootWay boot = BootWay::automatic;
    cpu::Choices choices;
    cpu::Engine engine;
    std::optional<u64> sgx_seed;  // nothing: the usual one, or that of the snapshot that follows
    // Null: there is none. Must outlive the computer.
    const Disk* drive = nullptr;
    Sink* console = nullptr;
    ProgramStreams* streams = nullptr;
    bool test_devices = false;
    std::vector<FirmwareFile> firmware_files;  // no part of a snapshot
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
    shutdown,       // a processor's triple fault or VMX abort
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
    static constexpr u64 never = ~u64{0};

    using State = TurnState;

    /// Power on; the kernel is in memory and about to run.
    static Expected<std::unique_ptr<Computer>> create(ComputerConfig config,
                                                      ComputerSurroundings surroundings);
    Computer(const Computer&) = delete;
    Computer& operator=(const Computer&) = delete;

    /// Runs until absolute time `until` at the latest, exactly to the instruction.
    ComputerOutcome run_until(u64 until);
    /// One instruction of one processor, the others standing still (the debugger's step).
    ComputerOutcome step(unsigned processor);
    /// From what a device calls while the machine runs: run_until() comes back after the
    /// instruction.
    void interrupt();
    /// Hears of every access to devices, of writes before they are carried out; empty: nobody does.
    using AccessObserver = std::function<void(const DeviceAccess&)>;
    void observe_devices(AccessObserver observer) { access_observer_ = std::move(observer); }

    [[nodiscard]] u64 now() const override;
    [[nodiscard]] unsigned processor_count() const { return machine_->system().processor_count; }
    [[nodiscard]] cpu::Cpu& processor(unsigned n) { return machine_->processor(n); }
    [[nodiscard]] Machine& machine() { return *machine_; }
    [[nodiscard]] PcDevices& devices() { return *devices_; }
    /// Null: there is none.
    [[nodiscard]] VirtioBlk* drive() { return drive_.get(); }
    [[nodiscard]] VirtioConsole* console() { return console_.get(); }
    [[nodiscard]] TestDevice* test_device() { return test_device_.get(); }
    /// How much of the time so far nobody ran, since this object began.
    [[nodiscard]] u64 idle() const { return idle_; }
    [[nodiscard]] bool takes_sgx_seed() const { return takes_sgx_seed_; }
    [[nodiscard]] State state() const { return state_; }
    void restore(const State& state) { state_ = state; }
    [[nodiscard]] bool plausible(const State& state) const {
        return state.turn < processor_count() && state.now <= never / 4;
    }

private:
    /// The bus as the processors see it: after a write that brings a device's next event nearer,
    /// the running processor comes back in time for it.
    class WatchedBus final : public cpu::Bus {
    public:
        explicit WatchedBus(Computer& computer) : computer_{&computer} {}
        u64 read(Hpa address, unsigned size) override;
        void write(Hpa address, unsigned size, u64 value) override;
        u32 in(u16 port, unsigned size) override;
        void out(u16 port, unsigned size, u32 value) override;
        [[nodiscard]] bool stop_requested() const override;

    private:
        Computer* computer_;
    };

    Computer() : watched_bus_{*this} {}
    Expected<void> build(ComputerConfig& config, const ComputerSurroundings& surroundings);
    void after_write();
    void tell(bool writes, BusSpace space, u64 address, unsigned size, u64 value) const;
    [[nodiscard]] bool find_turn();
    [[nodiscard]] u64 next_wake() const;
    ComputerOutcome run_turns_until(u64 until);
    ComputerOutcome run_turn(u64 until);
    [[nodiscard]] ComputerOutcome stopped() const;

    std::unique_ptr<Machine> machine_;
    std::unique_ptr<PcDevices> devices_;
    std::unique_ptr<VirtioBlk> drive_;
    std::unique_ptr<VirtioConsole> console_;
    std::unique_ptr<TestDevice> test_device_;
    std::unique_ptr<StdioPort> stdio_port_;
    WatchedBus watched_bus_;
    State state_;
    cpu::Cpu* running_ = nullptr;
    u64 running_until_ = 0;
    u64 idle_ = 0;
    bool interrupted_ = false;
    bool takes_sgx_seed_ = true;
    AccessObserver access_observer_;
};

SnapshotSubject subject_of(Computer& computer);

}  // namespace postern::platform
