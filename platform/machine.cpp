// SPDX-License-Identifier: Apache-2.0
// Putting a machine together and taking it apart.
#include "platform/machine.h"

#include <utility>

#include <fmt/format.h>

#include "cpu/model.h"
#include "cpu/run.h"

namespace postern::platform {

namespace {

Expected<void> check_addresses(const Layout& layout, const cpu::Model& model) {
    if (end_of(layout) <= u64{1} << model.physical_bits) return {};
    return error(
        fmt::format("memory and EPC do not fit into {} bits of physical addresses",
                    model.physical_bits),
        layout.epc_size != 0 ? "--memory with --epc" : "--memory",
        fmt::format("less, or phys-bits=N with N up to {} in --cpu", cpu::physical_bits_most));
}

}  // namespace

Expected<std::unique_ptr<Machine>> Machine::create(const Layout& layout, const cpu::Model* model,
                                                   unsigned processors) {
    if (auto fits = check_addresses(layout, *model); !fits) return std::unexpected{fits.error()};
    auto ram = HostMemory::map(layout.ram_size());
    if (!ram) return std::unexpected{ram.error()};
    HostMemory epc_memory;
    if (layout.epc_size != 0) {
        auto mapped = HostMemory::map(layout.epc_size);
        if (!mapped) return error(mapped.error().what, "--epc", mapped.error().right);
        epc_memory = std::move(*mapped);
    }
    return std::unique_ptr<Machine>{
        new Machine{layout, std::move(*ram), std::move(epc_memory), model, processors}};
}

Machine::Machine(const Layout& layout, HostMemory ram, HostMemory epc_memory,
                 const cpu::Model* model, unsigned processors)
    : layout_{layout}, ram_{std::move(ram)}, epc_memory_{std::move(epc_memory)} {
    if (layout.epc_size != 0)
        epc_ = std::make_unique<cpu::Epc>(layout.epc_base, epc_memory_.data(), layout.epc_size);
    system_.memory = {ram_.data(), layout.low_size, layout.high_size, layout.epc_base,
                      layout.epc_size};
    system_.epc = epc_.get();
    system_.bus = &bus_;
    system_.model = model;
    system_.physical_bits = model->physical_bits;
    for (unsigned n = 0; n < processors; ++n) {
        processors_.push_back(std::make_unique<cpu::Cpu>());
        system_.processors[n] = processors_.back().get();
    }
    system_.processor_count = processors;
    for (unsigned n = 0; n < processors; ++n) cpu::reset(*processors_[n], system_, n);
}

Machine::~Machine() {
    for (const auto& processor : processors_) cpu::destroy(*processor);
}

void Machine::attach_local_apic() {
    local_apic_ = std::make_unique<LocalApic>(processor());
    // Its range is claimed by nobody else on this bus.
    static_cast<void>(bus_.attach(*local_apic_));
    processor().interrupts = local_apic_.get();
}

}  // namespace postern::platform
