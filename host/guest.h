// SPDX-License-Identifier: Apache-2.0
// A hosted guest, whole: the machine beneath, the hypervisor, the devices the guest sees, and
// the loop that runs it to its end. The machine's memory is a reserve of the hypervisor's and,
// above it, the guest's RAM; no guest address equals the physical one behind it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "host/devices.h"
#include "host/lying_port.h"
#include "host/software_port.h"
#include "host/ticks.h"
#include "hv/vcpu.h"
#include "platform/boot/start.h"
#include "platform/devices.h"
#include "platform/machine.h"

namespace postern::host {

struct GuestConfig {
    platform::Layout layout;
    const cpu::Model* model = nullptr;
    platform::Kernel kernel;
    hv::Protections protections = hv::all_protections;
    hv::EnclaveFault enclave_fault = hv::EnclaveFault::ud;
    hv::MmioMarking mmio_marking = hv::MmioMarking::misconfiguration;
    hv::HiddenFeatures hidden;
    cpu::Choices choices;
    std::optional<u64> sgx_seed;  // nothing: the usual one
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
    halted,     // HLT, and nothing wakes it
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

class Guest {
public:
    static platform::Expected<std::unique_ptr<Guest>> create(GuestConfig config,
                                                             GuestSurroundings surroundings);
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;

    [[nodiscard]] RunResult run(const Limits& limits);

    [[nodiscard]] hv::Vm& vm() { return *vm_; }
    [[nodiscard]] hv::Vcpu& vcpu() { return *vcpu_; }
    [[nodiscard]] platform::Devices& devices() { return devices_; }
    [[nodiscard]] SoftwarePort& port() { return *port_; }
    /// To interrupt the guest once; run() takes its ticks back after that.
    [[nodiscard]] HostTicks& ticks() { return ticks_; }
    [[nodiscard]] platform::Machine& machine() { return *machine_; }

private:
    Guest(GuestConfig config, GuestSurroundings surroundings);

    [[nodiscard]] platform::Expected<void> build();
    [[nodiscard]] bool add_memory(const platform::Layout& machine, u64 reserve);
    [[nodiscard]] hv::Config hypervisor_config(u64 reserve) const;
    [[nodiscard]] std::optional<RunResult> ended(hv::Next next);
    [[nodiscard]] RunResult finish(Ending ending, u32 value = 0, std::string what = {});

    GuestConfig config_;
    hv::Watcher& watcher_;
    platform::Devices devices_;
    BusDevices bus_devices_;
    HostTicks ticks_;
    std::unique_ptr<platform::Machine> machine_;
    std::unique_ptr<SoftwarePort> port_;
    std::unique_ptr<LyingPort> lying_port_;
    std::unique_ptr<hv::Vm> vm_;
    std::unique_ptr<hv::Vcpu> vcpu_;
};

}  // namespace postern::host
