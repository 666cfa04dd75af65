// SPDX-License-Identifier: Apache-2.0
// The file around a snapshot: a header with the version, then sections, each with a name, a
// length and a checksum. Knows nothing of what the sections mean.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "platform/error.h"
#include "platform/snapshot/bytes.h"

namespace postern::platform::snapshot {

inline constexpr size_t section_name_most = 23;

struct Section {
    std::string name;  // at most section_name_most bytes
    Bytes bytes;
};

/// What a reader finds; it points into the file's bytes.
struct FoundSection {
    std::string name;
    View bytes;
};

/// What must be equal for a snapshot to be read.
struct Version {
    u32 format = 1;  // rises with every change of meaning
    u32 layout = 0;  // follows from how the states are laid out
    friend bool operator==(const Version&, const Version&) = default;
};

/// All of `path` or nothing: a file of that name appears only when it is complete.
Expected<void> write_container(const std::string& path, Version version,
                               const std::vector<Section>& sections);

/// The same bytes in memory.
Bytes encode_container(Version version, const std::vector<Section>& sections);

/// Everything is checked but the sections' meaning. `name` is what errors call the file.
Expected<std::vector<FoundSection>> decode_container(View file, const std::string& name,
                                                     Version version);

}  // namespace postern::platform::snapshot
