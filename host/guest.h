// SPDX-License-Identifier: Apache-2.0
// A hosted guest, whole: the machine beneath, the hypervisor, the PC's devices that the guest sees,
// and the loop that runs it. The machine's memory is a reserve of the hypervisor's and, above it,
// the guest's RAM; no guest address equals the physical one behind it.
//
// Virtual processor n runs on processor n, alone. All share one clock, which counts the
// instructions of the guest, and take turns as a bare computer's processors do (platform/turns.h).
// The hypervisor takes no time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/devices.h"
#include "host/lying_port.h"
#include "host/software_port.h"
#include "host/ticks.h"
#include "hv/vcpu.h"
#include "platform/boot/boot.h"
#include "platform/device/dma.h"
#include "platform/device/test_device.h"
#include "platform/device/virtio_blk.h"
#include "platform/device/virtio_console.h"
#include "platform/machine.h"
#include "platform/pc_devices.h"
#include "platform/snapshot/snapshot.h"
#include "platform/turns.h"

namespace postern::host {

/// What a reset of the guest is.
enum class OnReset : u8 {
    end,      // its end; a triple fault is no reset then
    restart,  // the kernel is loaded again
};

struct GuestConfig {
    platform::Layout layout;
    const cpu::Model* model = nullptr;
    unsigned processors = 1;
    platform::Kernel kernel;  // an empty file: none, a snapshot follows
    platform::BootWay boot = platform::BootWay::automatic;
    bool snapshot_follows = false;  // though there is a kernel, which is for resets
    OnReset on_reset = OnReset::end;
    // Null: there is none. Must outlive the guest.
    const platform::Disk* drive = nullptr;
    platform::Sink* console = nullptr;
    bool test_devices = false;
    bool apicv = true;    // use what the processor has of APIC virtualization
    bool nested = false;  // the guest may be a hypervisor: it has VMX
    cpu::Engine engine;
    hv::Protections protections = hv::all_protections;
    hv::EnclaveFault enclave_fault = hv::EnclaveFault::ud;
    hv::MmioMarking mmio_marking = hv::MmioMarking::misconfiguration;
    hv::HiddenFeatures hidden = hv::Config{}.hidden;
    cpu::Choices choices;
    std::optional<u64> sgx_seed;  // nothing: the usual one, or that of the snapshot that follows
    bool provision_key = false;   // the guest's enclaves may ask for it
    hv::SgxMasks sgx;             // what is left of the processor's SGX
    u32 preemption_timer = 0;
    u64 livelock_ticks = hv::Config{}.livelock_ticks;
    bool lying_processor = false;
};

/// What a guest's owner listens to and where its output goes. All must outlive the guest.
struct GuestSurroundings {
    platform::Sink& serial;
    platform::Sink& debug;
    hv::Watcher& watcher;
    platform::MarkPort::Observer on_mark;
};

/// 0: none.
struct Limits {
    u64 instructions = 0;
    u64 milliseconds = 0;
};

enum class Ending : u8 {
    exit_port,  // value: what was written
    reset,
    power_off,  // by ACPI
    halted,     // every processor waits, and nothing will ever wake one
    stopped,    // by the hypervisor; stop says why
    processor,  // by the processor; what says why
    instruction_limit,
    time_limit,
};

struct RunResult {
    Ending ending = Ending::exit_port;
    u32 value = 0;
    hv::StopReport stop;
    std::string what;
    u64 instructions = 0;
};

/// As design decides: odd ones are the guest's, 0 a clean end, 4 it cannot go on, 124 a limit.
int exit_status(const RunResult& result);

class Guest final : public platform::Clock {
public:
    static constexpr u64 never = ~u64{0};

    /// How long a reset takes before the first instruction. PCI Local Bus Specification 3.0,
    /// "Reset": RST# is asserted for 1 ms at least.
    static constexpr u64 reset_time = 1'000'000;

    struct State {
        platform::TurnState turns;
        u64 halted = 0;  // a bit for each processor
        u64 timeless_exits = 0;
        u64 latest_exit = 0;
        u64 restart_at = never;  // no processor runs before; never: the guest is not being reset
        u64 resets = 0;          // so far
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);

    static platform::Expected<std::unique_ptr<Guest>> create(GuestConfig config,
                                                             GuestSurroundings surroundings);
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;

    /// To its end, or to a limit.
    [[nodiscard]] RunResult run(const Limits& limits);
    /// To absolute time `until` at the latest, exactly to the instruction. Nothing: it goes on,
    /// because that time has come, or after interrupt(), or after many VM exits without an end.
    [[nodiscard]] std::optional<RunResult> run_until(u64 until);
    /// From what a device calls while the guest runs: run_until() comes back.
    void interrupt() { interrupted_ = true; }
    /// How it ended, for an owner who ends it.
    [[nodiscard]] RunResult finish(Ending ending, u32 value = 0, std::string what = {});

    [[nodiscard]] u64 now() const override;
    /// How much of the time so far nobody ran, since this object began.
    [[nodiscard]] u64 idle() const { return idle_; }
    [[nodiscard]] u64 resets() const { return resets_; }
    [[nodiscard]] unsigned processor_count() const {
        return static_cast<unsigned>(processors_.size());
    }

    [[nodiscard]] hv::Vm& vm() { return *vm_; }
    [[nodiscard]] hv::Vcpu& vcpu(unsigned n = 0) { return *processors_[n].vcpu; }
    [[nodiscard]] platform::PcDevices& devices() { return *devices_; }
    /// Null: there is none.
    [[nodiscard]] platform::VirtioBlk* drive() { return drive_.get(); }
    [[nodiscard]] platform::VirtioConsole* console() { return console_.get(); }
    [[nodiscard]] SoftwarePort& port(unsigned n = 0) { return *processors_[n].port; }
    /// To interrupt the guest once.
    [[nodiscard]] HostTicks& ticks(unsigned n = 0) { return ticks_[n]; }
    [[nodiscard]] platform::Machine& machine() { return *machine_; }
    [[nodiscard]] platform::Bus& bus() { return bus_; }
    /// Of all virtual processors together.
    [[nodiscard]] hv::Counters counters() const;

    /// All that a snapshot saves: the machine beneath, the PC and the hypervisor's state. Between
    /// two calls of run_until().
    [[nodiscard]] platform::SnapshotSubject subject();
    [[nodiscard]] State state() const;
    void restore(const State& state);
    [[nodiscard]] bool plausible(const State& state) const;

private:
    struct Processor {
        std::unique_ptr<SoftwarePort> port;
        std::unique_ptr<LyingPort> lying_port;
        std::unique_ptr<hv::Vcpu> vcpu;
        bool halted = false;  // the hypervisor has nothing for it to run
    };

    /// The devices before anything ran.
    struct PowerOn {
        platform::PcDevices::State pc{};
        platform::PciFunction::State doorbell;
        platform::VirtioPci::State drive;
        platform::VirtioConsole::State console;
        platform::TestDevice::State test;
    };

    Guest(GuestConfig config, const GuestSurroundings& surroundings);

    // guest_build.cpp
    [[nodiscard]] platform::Expected<void> build();
    [[nodiscard]] platform::Expected<void> build_devices();
    [[nodiscard]] platform::Expected<void> build_hypervisor(const platform::Layout& machine,
                                                            u64 reserve);
    [[nodiscard]] platform::Expected<platform::StartState> load();
    /// `again`: they have run, and are reset.
    [[nodiscard]] platform::Expected<void> start_processors(const platform::StartState& start,
                                                            bool again);
    [[nodiscard]] bool add_memory(const platform::Layout& machine);
    [[nodiscard]] hv::Config hypervisor_config(u64 reserve) const;

    // guest_reset.cpp
    void remember_power_on();
    void reset_devices();
    [[nodiscard]] bool restarts_after(const hv::StopReport& report) const;
    [[nodiscard]] std::optional<RunResult> begin_reset(hv::ResetCause cause);
    [[nodiscard]] std::optional<RunResult> leave_guest(unsigned n);
    [[nodiscard]] std::optional<RunResult> restart();

    [[nodiscard]] bool wakes(unsigned n);
    [[nodiscard]] u64 next_wake() const;
    [[nodiscard]] std::optional<RunResult> run_turn(u64 until);
    [[nodiscard]] std::optional<RunResult> stop_request();
    void keep_time_moving(u64 now);
    void pass_time(u64 until);

    GuestConfig config_;
    GuestSurroundings surroundings_;
    platform::Bus bus_;
    BusDevices bus_devices_{bus_};
    VmInterrupts interrupts_;
    platform::DmaMap dma_map_;
    std::vector<HostTicks> ticks_;
    std::unique_ptr<platform::Machine> machine_;
    std::unique_ptr<platform::PcDevices> devices_;
    std::unique_ptr<platform::VirtioBlk> drive_;
    std::unique_ptr<platform::VirtioConsole> console_;
    std::unique_ptr<platform::TestDevice> test_device_;
    std::vector<Processor> processors_;
    std::unique_ptr<hv::Vm> vm_;
    platform::TurnState turns_;
    cpu::Cpu* running_ = nullptr;
    u64 restart_at_ = never;
    u64 resets_ = 0;
    std::unique_ptr<const PowerOn> power_on_;
    u64 idle_ = 0;
    u64 timeless_exits_ = 0;  // in a row, all at the time of the latest one
    u64 latest_exit_ = 0;
    bool interrupted_ = false;
};

}  // namespace postern::host
