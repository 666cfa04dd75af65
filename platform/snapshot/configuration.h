// SPDX-License-Identifier: Apache-2.0
// What kind of machine a snapshot is of. It can be loaded only by one of the same kind.
#pragma once

#include <array>
#include <string>

#include "cpu/model.h"
#include "cpu/system.h"
#include "platform/error.h"
#include "platform/snapshot/bytes.h"

namespace postern::platform::snapshot {

struct Configuration {
    u64 low_size, high_size;
    u64 epc_base, epc_size;
    u64 sgx_seed;
    u32 processors;
    u32 signature;
    std::array<u32, cpu::feature_words> features;
    std::array<char, 24> model;  // its name, cut off, with zeros behind
    u8 linear_bits;
    u8 physical_bits;  // the machine's
    u8 hosted;         // a hypervisor of ours below
    u8 reserved;
    u32 choices;  // a bit for each of cpu/choices.h
    friend bool operator==(const Configuration&, const Configuration&) = default;
};
static_assert(Plain<Configuration>);

Configuration configuration_of(const cpu::System& system);

/// The error for a snapshot `there` and a machine `here` that differ, naming the option.
Error difference(const Configuration& there, const Configuration& here, const std::string& name);

}  // namespace postern::platform::snapshot
