// SPDX-License-Identifier: Apache-2.0
// Paths, walked one component after the other: on the host, or in the tree.
#include "app/exec/file_tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <limits>

#include <fmt/format.h>

#include "app/exec/cpio.h"
#include "app/options.h"
#include "platform/boot/file.h"

namespace postern::app::exec {

namespace {

namespace fs = std::filesystem;

constexpr unsigned links_most = 40;  // as Linux
constexpr u32 permissions = 07777;

std::unexpected<Refusal> unusable(std::string what, const std::string& path) {
    return refusal(status_failed, std::move(what), path, "a file that can be packed");
}

/// A path on its way to be resolved: what is left of it goes in front of the queue.
class Walk {
public:
    explicit Walk(std::string_view path) { push(path); }

    /// The next component's path; empty: there is none left.
    std::string next() {
        while (!left_.empty()) {
            const std::string component = std::move(left_.front());
            left_.pop_front();
            if (component.empty() || component == ".") continue;
            if (component != "..") return done_ + "/" + component;
            done_.erase(std::min(done_.size(), done_.rfind('/')));
        }
        return {};
    }
    void enter(std::string path) { done_ = std::move(path); }
    /// False: too many links.
    bool follow(const std::string& target) {
        if (target.starts_with('/')) done_.clear();
        push(target);
        return ++links_ <= links_most;
    }
    [[nodiscard]] bool at_end() const {
        return std::ranges::all_of(left_, [](const auto& c) { return c.empty() || c == "."; });
    }
    [[nodiscard]] const std::string& done() const { return done_; }

private:
    void push(std::string_view path) {
        const auto parts = split(path, '/');
        left_.insert(left_.begin(), parts.begin(), parts.end());
    }

    std::deque<std::string> left_;
    std::string done_;
    unsigned links_ = 0;
};

/// The node of what lies on the host at `path`.
Prepared<FileTree::Node> node_of(const std::string& path) {
    struct stat found{};
    if (lstat(path.c_str(), &found) != 0) return unusable(std::strerror(errno), path);
    const u32 mode = found.st_mode & permissions;
    using enum FileTree::Node::Kind;
    if (S_ISDIR(found.st_mode)) return FileTree::Node{directory, mode, path};
    if (S_ISREG(found.st_mode)) return FileTree::Node{file, mode, path};
    if (!S_ISLNK(found.st_mode)) return unusable("neither a file, a directory nor a link", path);
    std::error_code code;
    const auto target = fs::read_symlink(path, code);
    if (code) return unusable(code.message(), path);
    return FileTree::Node{link, 0777, target.string()};
}

}  // namespace

Prepared<void> FileTree::mirror(const std::string& path) {
    for (Walk walk{path};;) {
        const std::string here = walk.next();
        if (here.empty()) return {};
        auto node = node_of(here);
        if (!node) return std::unexpected{node.error()};
        const bool leads_on = node->kind == Node::Kind::link;
        const std::string target = node->from;
        const bool is_directory = node->kind == Node::Kind::directory;
        nodes_.try_emplace(here, std::move(*node));
        if (leads_on) {
            if (!walk.follow(target)) return unusable("too many symbolic links", path);
            continue;
        }
        walk.enter(here);
        if (!walk.at_end()) continue;
        if (is_directory) return place_tree(here, here);
        return {};
    }
}

/// All directories that `path` needs; what it is then called, without links on the way.
Prepared<std::string> FileTree::make_parents(const std::string& path) {
    for (Walk walk{path};;) {
        const std::string here = walk.next();
        if (here.empty()) return walk.done();
        const auto found = nodes_.find(here);
        if (walk.at_end() && (found == nodes_.end() || found->second.kind != Node::Kind::link))
            return here;
        if (found == nodes_.end()) {
            nodes_[here] = {Node::Kind::directory, 0755, here};
        } else if (found->second.kind == Node::Kind::link) {
            if (!walk.follow(found->second.from)) return unusable("too many symbolic links", path);
            continue;
        } else if (found->second.kind == Node::Kind::file) {
            return unusable(fmt::format("{} is a file, not a directory", here), path);
        }
        walk.enter(here);
    }
}

/// `path` is without links on the way.
Prepared<void> FileTree::place_tree(const std::string& source, const std::string& path) {
    auto node = node_of(source);
    if (!node) return std::unexpected{node.error()};
    const bool is_directory = node->kind == Node::Kind::directory;
    if (!path.empty()) nodes_.insert_or_assign(path, std::move(*node));
    if (!is_directory) return {};
    std::error_code code;
    for (const auto& entry : fs::directory_iterator{source, code}) {
        const std::string name = entry.path().filename().string();
        if (auto placed = place_tree(source + "/" + name, path + "/" + name); !placed)
            return placed;
    }
    if (code) return unusable(code.message(), source);
    return {};
}

Prepared<void> FileTree::place(const std::string& source, const std::string& path) {
    std::error_code code;
    const auto real = fs::canonical(source, code);
    if (code) return unusable(code.message(), source);
    const auto there = make_parents(path);
    if (!there) return std::unexpected{there.error()};
    const auto found = nodes_.find(*there);
    const bool was_directory =
        there->empty() || (found != nodes_.end() && found->second.kind == Node::Kind::directory);
    if (was_directory && !fs::is_directory(real, code))
        return unusable(fmt::format("{} is a directory in the guest", path), source);
    return place_tree(real.string(), *there);
}

Prepared<std::vector<u8>> FileTree::archive(u64 most) const {
    CpioArchive made;
    u64 left = most;
    for (const auto& [path, node] : nodes_) {
        const std::string name = path.substr(1);
        if (node.kind == Node::Kind::directory) {
            made.add_directory(name, node.mode);
        } else if (node.kind == Node::Kind::link) {
            made.add_link(name, node.from);
        } else {
            const auto content = platform::read_file(node.from, left, "more, with --memory SIZE");
            if (!content) return failed(content.error());
            made.add_file(name, node.mode, *content);
            left -= content->size();
        }
    }
    return std::move(made).finish();
}

}  // namespace postern::app::exec
