// SPDX-License-Identifier: Apache-2.0
// Snapshots of machines that have booted and wait for a program, kept in the user's cache: one file
// for each thing that they follow from.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/types.h"
#include "platform/snapshot/snapshot.h"

namespace postern::app::exec {

/// Everything that a booted machine follows from, as a name of hexadecimal digits.
class SnapshotKey {
public:
    void add(std::string_view text);
    void add(std::span<const u8> bytes);
    /// Empty: no digest can be made.
    [[nodiscard]] std::string name() const;

private:
    std::string parts_;  // each with its length
};

/// Changes whenever the program is built anew.
std::string program_identity();

class SnapshotCache {
public:
    /// How many are kept; beyond that the ones longest unused go.
    static constexpr size_t kept_most = 8;

    /// `directory` need not be there.
    explicit SnapshotCache(std::string directory) : directory_{std::move(directory)} {}

    [[nodiscard]] std::string path(const std::string& name) const {
        return directory_ + "/" + name;
    }
    [[nodiscard]] bool has(const std::string& name) const;

    /// It counts as used.
    platform::Expected<void> load(const platform::SnapshotSubject& into, const std::string& name);
    /// Takes the place of an older one at once, whoever else does the same.
    platform::Expected<void> save(const platform::SnapshotSubject& subject,
                                  const std::string& name);

private:
    void remove_oldest() const;

    std::string directory_;
};

}  // namespace postern::app::exec
