// SPDX-License-Identifier: Apache-2.0
// A whole machine as a file, and back: what was loaded runs on as if it had never been saved. And a
// digest of the same content, for telling whether two machines are in the same state.
#pragma once

#include <string>
#include <vector>

#include "cpu/cpu.h"
#include "platform/error.h"
#include "platform/snapshot/part.h"

namespace postern::platform {

class Machine;

/// All that has state. Between two instructions, outside the run loop.
struct SnapshotSubject {
    cpu::System* system = nullptr;      // with its processors and memory
    std::vector<snapshot::Part> parts;  // names of at most 16 bytes, each once
    /// The snapshot's SGX seed is taken over, whatever the machine's own is.
    bool takes_sgx_seed = false;

    [[nodiscard]] std::span<cpu::Cpu* const> processors() const {
        return {system->processors.data(), system->processor_count};
    }
};

/// A machine without devices but those of its own.
SnapshotSubject subject_of(Machine& machine);

/// The file is complete or not there.
Expected<void> save_snapshot(const SnapshotSubject& subject, const std::string& path);

/// Into a machine of the same kind; nothing of it changes if the snapshot cannot be taken.
Expected<void> load_snapshot(const SnapshotSubject& subject, const std::string& path);
/// The same from memory; `name` is what errors call it.
Expected<void> load_snapshot(const SnapshotSubject& subject, snapshot::View file,
                             const std::string& name);
snapshot::Bytes snapshot_bytes(const SnapshotSubject& subject);

/// SHA-256 in hexadecimal digits.
std::string state_digest(const SnapshotSubject& subject);

}  // namespace postern::platform
