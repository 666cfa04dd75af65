// SPDX-License-Identifier: Apache-2.0
// A machine: RAM, EPC, the bus, and processors that share them.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "cpu/cpu.h"
#include "cpu/sgx/epc.h"
#include "platform/bus.h"
#include "platform/device/local_apic.h"
#include "platform/host_memory.h"
#include "platform/layout.h"

namespace postern::platform {

class Machine {
public:
    /// `model` may be null only where nothing asks what the processor can do. `processors`: 1 to
    /// cpu::processors_most.
    static Expected<std::unique_ptr<Machine>> create(const Layout& layout, const cpu::Model* model,
                                                     unsigned processors = 1);
    ~Machine();
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    [[nodiscard]] const Layout& layout() const { return layout_; }
    [[nodiscard]] cpu::System& system() { return system_; }
    [[nodiscard]] cpu::Cpu& processor(unsigned n = 0) { return *processors_[n]; }
    [[nodiscard]] std::span<cpu::Cpu* const> processors() const {
        return {system_.processors.data(), system_.processor_count};
    }
    [[nodiscard]] Bus& bus() { return bus_; }
    [[nodiscard]] cpu::Epc* epc() { return epc_.get(); }
    /// All RAM in one piece, the hole below 4 GiB left out.
    [[nodiscard]] u8* ram() const { return ram_.data(); }

    /// Gives the processor its own local APIC, in the usual place.
    void attach_local_apic();
    [[nodiscard]] LocalApic* local_apic() { return local_apic_.get(); }

private:
    Machine(const Layout& layout, HostMemory ram, HostMemory epc_memory, const cpu::Model* model,
            unsigned processors);

    Layout layout_;
    HostMemory ram_;
    HostMemory epc_memory_;
    std::unique_ptr<cpu::Epc> epc_;
    Bus bus_;
    cpu::System system_;
    std::vector<std::unique_ptr<cpu::Cpu>> processors_;
    std::unique_ptr<LocalApic> local_apic_;
};

}  // namespace postern::platform
