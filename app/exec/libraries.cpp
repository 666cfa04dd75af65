// SPDX-License-Identifier: Apache-2.0
// A child process, and what it said.
#include "app/exec/libraries.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "app/options.h"
#include "platform/boot/file.h"

namespace postern::app::exec {

namespace {

constexpr u64 largest_program = u64{4} << 30;

std::vector<char*> pointers(const std::vector<std::string>& texts) {
    std::vector<char*> made;
    for (const std::string& text : texts) made.push_back(const_cast<char*>(text.c_str()));
    made.push_back(nullptr);
    return made;
}

struct Said {
    int error = 0;  // errno's number: it could not be started
    int status = 0;
    std::string text;
};

std::string read_to_end(int file) {
    std::string text;
    std::array<char, 4096> part;
    for (;;) {
        const ssize_t count = read(file, part.data(), part.size());
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return text;
        text.append(part.data(), static_cast<size_t>(count));
    }
}

/// Both output streams of a program, which must end by itself.
Said ask(const std::vector<std::string>& words, const std::vector<std::string>& environment) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return {errno, 0, {}};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    pid_t child = 0;
    const int error = posix_spawn(&child, words[0].c_str(), &actions, nullptr,
                                  pointers(words).data(), pointers(environment).data());
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    Said said{error, 0, {}};
    if (error == 0) {
        said.text = read_to_end(ends[0]);
        while (waitpid(child, &said.status, 0) < 0 && errno == EINTR) {
        }
    }
    close(ends[0]);
    return said;
}

/// Which of `files` asks for the library `name`; `otherwise` if none is seen to.
std::string who_needs(const std::string& name, const std::vector<std::string>& files,
                      const std::string& otherwise) {
    for (const std::string& file : files) {
        const auto bytes = platform::read_file(file, largest_program, "");
        if (!bytes) continue;
        const auto needs = elf_needs(*bytes);
        if (needs && std::ranges::find(needs->libraries, name) != needs->libraries.end())
            return file;
    }
    return otherwise;
}

/// "PATH (0x7f...)" without what is behind the path.
std::string_view without_address(std::string_view text) {
    return text.substr(0, text.rfind(" (0x"));
}

}  // namespace

LibraryList parse_library_list(std::string_view text) {
    constexpr std::string_view arrow = " => ";
    LibraryList list;
    for (std::string_view line : split(text, '\n')) {
        if (!line.starts_with('\t')) {
            if (list.complaint.empty()) list.complaint = line;
            continue;
        }
        line.remove_prefix(1);
        const size_t at = line.find(arrow);
        const std::string_view name = line.substr(0, at);
        const std::string_view path = at == line.npos ? name : line.substr(at + arrow.size());
        if (path == "not found")
            list.missing.emplace_back(name);
        else if (path.starts_with('/'))
            list.found.emplace_back(without_address(path));
    }
    return list;
}

Prepared<std::vector<std::string>> libraries_of(const std::string& program,
                                                const std::string& interpreter,
                                                const std::vector<std::string>& environment) {
    Said said = ask({interpreter, "--list", program}, environment);
    // Then glibc's ends at the first library that is missing. It tells all of them when it is asked
    // as ldd asks it, which other interpreters would take for a wish to run the program.
    if (said.status != 0 &&
        said.text.find("error while loading shared libraries") != said.text.npos) {
        std::vector<std::string> traced = environment;
        traced.emplace_back("LD_TRACE_LOADED_OBJECTS=1");
        if (Said more = ask({interpreter, program}, traced); more.status == 0)
            said = std::move(more);
    }
    if (said.error != 0)
        return refusal(status_not_found,
                       fmt::format("its interpreter {} cannot be run ({})", interpreter,
                                   std::strerror(said.error)),
                       program, "a program that runs on this machine");
    LibraryList list = parse_library_list(said.text);
    std::vector<std::string> files = list.found;
    files.insert(files.begin(), program);
    if (!list.missing.empty())
        return refusal(status_not_found,
                       fmt::format("{} is missing, which {} needs", list.missing[0],
                                   who_needs(list.missing[0], files, program)),
                       program, "that library where the loader looks, or LD_LIBRARY_PATH");
    if (said.status != 0)
        return refusal(status_not_executable,
                       fmt::format("its interpreter {} says: {}", interpreter, list.complaint),
                       program, "a program that runs on this machine");
    return std::move(list.found);
}

}  // namespace postern::app::exec
