// SPDX-License-Identifier: Apache-2.0
// Fills in and compares, one option after another.
#include "platform/snapshot/configuration.h"

#include <string_view>

#include <fmt/format.h>

#include "cpu/choices.h"
#include "cpu/cpu.h"
#include "platform/layout.h"

namespace postern::platform::snapshot {
namespace {

/// As the options take sizes.
std::string size_text(u64 size) {
    if (size % gib == 0 && size != 0) return fmt::format("{}G", size / gib);
    if (size % mib == 0 && size != 0) return fmt::format("{}M", size / mib);
    if (size % kib == 0 && size != 0) return fmt::format("{}K", size / kib);
    return fmt::format("{}", size);
}

std::string model_name(const Configuration& c) {
    const std::string_view all{c.model.data(), c.model.size()};
    return std::string{all.substr(0, all.find('\0'))};
}

Error other(const std::string& name, const char* option, const std::string& there,
            const std::string& here) {
    return {
        fmt::format("a snapshot of a machine with {} {}, and this one has {}", option, there, here),
        name, fmt::format("{} {}", option, there)};
}

Error other_processor(const Configuration& there, const Configuration& here,
                      const std::string& name) {
    const std::string model = model_name(there);
    if (model != model_name(here)) return other(name, "--cpu", model, model_name(here));
    if (there.physical_bits != here.physical_bits)
        return other(name, "--cpu", fmt::format("{},phys-bits={}", model, there.physical_bits),
                     fmt::format("phys-bits={}", here.physical_bits));
    return {fmt::format("a snapshot of a machine whose {} has other features", model), name,
            "--cpu with the features that it was saved with"};
}

u32 choice_bits(const cpu::Choices& choices) {
    u32 bits = 0;
    unsigned position = 0;
    for (const cpu::ChoiceRow& row : cpu::choice_rows())
        bits |= u32{choices.*row.member} << position++;
    return bits;
}

}  // namespace

Configuration configuration_of(const cpu::System& system) {
    Configuration c{};
    c.low_size = system.memory.low_size;
    c.high_size = system.memory.high_size;
    c.epc_base = system.memory.epc_base;
    c.epc_size = system.memory.epc_size;
    c.sgx_seed = system.sgx_seed;
    c.processors = system.processor_count;
    c.signature = system.model->signature;
    for (size_t word = 0; word < c.features.size(); ++word)
        c.features[word] = system.model->features.word(static_cast<cpu::FeatureWord>(word));
    system.model->name.copy(c.model.data(), c.model.size() - 1);
    c.linear_bits = system.model->linear_bits;
    c.physical_bits = static_cast<u8>(system.physical_bits);
    c.hosted = system.processors[0]->vmx.hosted;
    c.choices = choice_bits(system.choices);
    return c;
}

Error difference(const Configuration& there, const Configuration& here, const std::string& name) {
    if (there.hosted != here.hosted)
        return {
            there.hosted != 0 ? "a snapshot of a hosted machine" : "a snapshot of a bare machine",
            name, there.hosted != 0 ? "no --bare" : "--bare"};
    const u64 memory = there.low_size + there.high_size;
    if (memory != here.low_size + here.high_size)
        return other(name, "--memory", size_text(memory),
                     size_text(here.low_size + here.high_size));
    if (there.epc_size != here.epc_size)
        return other(name, "--epc", size_text(there.epc_size), size_text(here.epc_size));
    if (there.sgx_seed != here.sgx_seed)
        return other(name, "--sgx-seed", fmt::format("{}", there.sgx_seed),
                     fmt::format("{}", here.sgx_seed));
    if (there.processors != here.processors)
        return other(name, "--cpus", fmt::format("{}", there.processors),
                     fmt::format("{}", here.processors));
    if (there.signature != here.signature || there.features != here.features ||
        there.model != here.model || there.linear_bits != here.linear_bits ||
        there.physical_bits != here.physical_bits)
        return other_processor(there, here, name);
    if (there.choices != here.choices)
        return {"a snapshot of a machine with other choices", name,
                "the same --choice options that it was saved with"};
    return {"a snapshot of a machine whose memory lies elsewhere", name,
            "the same options that it was saved with"};
}

}  // namespace postern::platform::snapshot
