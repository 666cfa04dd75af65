// SPDX-License-Identifier: Apache-2.0
// The files that the guest is to have, by their paths there. The host's own files keep their paths,
// symbolic links on the way included, so that whatever finds them by a path does so in the guest.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "app/exec/refusal.h"
#include "base/types.h"

namespace postern::app::exec {

class FileTree {
public:
    /// The host's `path`, an absolute one, where it is on the host. Of a directory all that is in
    /// it. A file that is there already stays.
    Prepared<void> mirror(const std::string& path);

    /// The host's file or directory `source` at the guest's `path`, an absolute one. What is there
    /// already is replaced.
    Prepared<void> place(const std::string& source, const std::string& path);

    /// As an archive of at most `most` bytes of content.
    Prepared<std::vector<u8>> archive(u64 most) const;

    struct Node {
        enum class Kind : u8 { directory, link, file } kind = Kind::directory;
        u32 mode = 0;
        std::string from;  // a file's place on the host; where a link leads
    };
    /// Absolute paths without links on the way, parents first.
    [[nodiscard]] const std::map<std::string, Node>& nodes() const { return nodes_; }

private:
    Prepared<void> place_tree(const std::string& source, const std::string& path);
    Prepared<std::string> make_parents(const std::string& path);

    std::map<std::string, Node> nodes_;
};

}  // namespace postern::app::exec
