// SPDX-License-Identifier: Apache-2.0
// From a name to files.
#include "app/exec/program_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "app/exec/elf_needs.h"
#include "app/exec/libraries.h"
#include "app/options.h"
#include "platform/boot/file.h"

namespace postern::app::exec {

namespace {

namespace fs = std::filesystem;

constexpr u64 largest_program = u64{4} << 30;
constexpr const char* usual_interpreter = "/lib64/ld-linux-x86-64.so.2";
constexpr unsigned scripts_most = 4;  // a script's interpreter may be one, as Linux allows

/// Without "." in it; ".." stays, since what it means depends on links.
std::string absolute(const std::string& path) {
    std::error_code code;
    fs::path made;
    for (const fs::path& component : fs::absolute(path, code))
        if (component != ".") made /= component;
    return made.string();
}

/// Empty, or why it cannot be executed.
std::string why_not_executable(const std::string& path) {
    std::error_code code;
    const auto status = fs::status(path, code);
    if (fs::is_directory(status)) return "it is a directory";
    if (!fs::is_regular_file(status)) return "it is not a regular file";
    if (access(path.c_str(), X_OK) != 0) return "it may not be executed";
    return {};
}

Prepared<std::string> executable(const std::string& path, const std::string& name) {
    std::error_code code;
    if (!fs::exists(path, code))
        return refusal(status_not_found, "no such program", name,
                       "a program's path, or a name that PATH leads to");
    const std::string why = why_not_executable(path);
    if (!why.empty())
        return refusal(status_not_executable, why, name, "a program with permission to execute");
    return absolute(path);
}

std::string first_line(const std::string& path) {
    constexpr size_t longest = 256;  // as Linux reads
    std::string line(longest, '\0');
    std::ifstream stream{path, std::ios::binary};
    stream.read(line.data(), static_cast<std::streamsize>(longest));
    line.resize(static_cast<size_t>(stream.gcount()));
    return line.substr(0, line.find('\n'));
}

/// "env PROGRAM" and "env -S PROGRAM ..." in a script's first line: PROGRAM; else nothing.
std::string program_of_env(const ScriptLine& line) {
    if (fs::path{line.interpreter}.filename() != "env") return {};
    for (const std::string_view word : split(line.argument, ' '))
        if (!word.empty() && !word.starts_with('-') && word.find('=') == word.npos)
            return std::string{word};
    return {};
}

Prepared<void> pack_executable(FileTree& tree, const std::string& path,
                               const Surroundings& surroundings, unsigned scripts);

Prepared<void> pack_script(FileTree& tree, const std::string& path, const ScriptLine& line,
                           const Surroundings& surroundings, unsigned scripts) {
    if (scripts == scripts_most)
        return refusal(status_not_executable, "scripts that are each other's interpreters", path,
                       "a script whose interpreter is a program");
    std::vector<std::string> programs{line.interpreter};
    if (const std::string more = program_of_env(line); !more.empty()) programs.push_back(more);
    for (const std::string& name : programs) {
        const auto found = find_program(name, surroundings.search);
        if (!found)
            return refusal(status_not_found,
                           fmt::format("its interpreter {}: {}", name, found.error().error.what),
                           path, "a script whose first line names a program");
        if (auto packed = pack_executable(tree, *found, surroundings, scripts + 1); !packed)
            return packed;
    }
    return {};
}

/// The interpreter, the libraries, and where the loader looks for them.
Prepared<void> pack_libraries(FileTree& tree, const std::string& path, const ElfNeeds& needs,
                              const Surroundings& surroundings) {
    const std::string interpreter =
        needs.interpreter.empty() ? usual_interpreter : needs.interpreter;
    const auto libraries = libraries_of(path, interpreter, surroundings.environment);
    if (!libraries) return std::unexpected{libraries.error()};
    std::vector<std::string> files = *libraries;
    files.push_back(interpreter);
    for (const char* const file : {"/etc/ld.so.cache"}) {
        std::error_code code;
        if (fs::exists(file, code)) files.emplace_back(file);
    }
    for (const std::string& file : files)
        if (auto packed = tree.mirror(file); !packed) return packed;
    return {};
}

Prepared<void> pack_executable(FileTree& tree, const std::string& path,
                               const Surroundings& surroundings, unsigned scripts) {
    if (auto packed = tree.mirror(path); !packed) return packed;
    const std::string line = first_line(path);
    if (line.starts_with("#!"))
        return pack_script(tree, path, script_line(line), surroundings, scripts);
    const auto bytes = platform::read_file(path, largest_program, "a program");
    if (!bytes) return refusal(status_not_executable, bytes.error().what, path, "a program");
    const auto needs = elf_needs(*bytes);
    if (!needs)
        return refusal(status_not_executable,
                       has_elf_magic(*bytes) ? "not a program for x86-64 of 64 bits"
                                             : "neither an ELF file nor a script with #!",
                       path, "a program that runs on this machine");
    if (needs->interpreter.empty() && needs->libraries.empty()) return {};
    return pack_libraries(tree, path, *needs, surroundings);
}

}  // namespace

Prepared<std::string> find_program(const std::string& name, const std::string& search) {
    if (name.empty())
        return refusal(status_not_found, "a program without a name", "PROGRAM",
                       "a program's path, or a name that PATH leads to");
    if (name.find('/') != name.npos) return executable(name, name);
    std::string first_seen = name + "/";  // is nothing
    for (const std::string_view directory : split(search, ':')) {
        const std::string path =
            fmt::format("{}/{}", directory.empty() ? std::string_view{"."} : directory, name);
        std::error_code code;
        if (!fs::exists(path, code)) continue;
        if (why_not_executable(path).empty()) return absolute(path);
        first_seen = path;
    }
    return executable(first_seen, name);
}

ScriptLine script_line(std::string_view line) {
    constexpr std::string_view blanks = " \t";
    line.remove_prefix(2);
    line.remove_prefix(std::min(line.size(), line.find_first_not_of(blanks)));
    const size_t end = std::min(line.size(), line.find_last_not_of(blanks) + 1);
    line = line.substr(0, end);
    const size_t gap = line.find_first_of(blanks);
    if (gap == line.npos) return {std::string{line}, {}};
    std::string_view argument = line.substr(gap);
    argument.remove_prefix(argument.find_first_not_of(blanks));
    return {std::string{line.substr(0, gap)}, std::string{argument}};
}

Prepared<void> pack_program(FileTree& tree, const std::string& path,
                            const Surroundings& surroundings) {
    return pack_executable(tree, path, surroundings, 0);
}

Prepared<void> pack_file(FileTree& tree, const std::string& argument,
                         const Surroundings& surroundings) {
    const size_t at = argument.find('=');
    const std::string source = argument.substr(0, at);
    const std::string target = at == argument.npos ? source : argument.substr(at + 1);
    std::error_code code;
    if (source.empty() || target.empty() || !fs::exists(source, code))
        return refusal(status_failed, "no such file", "--file " + argument,
                       "SOURCE[=PATH] with a file or directory that is there");
    const std::string there = fs::path{"/" + target}.lexically_normal().string();
    const bool same = at == argument.npos && source.starts_with('/');
    if (auto packed = same ? tree.mirror(source) : tree.place(source, there); !packed)
        return packed;
    if (!fs::is_regular_file(source, code)) return {};
    const auto bytes = platform::read_file(source, largest_program, "a file that can be packed");
    if (!bytes) return failed(bytes.error());
    const auto needs = elf_needs(*bytes);
    if (!needs || needs->libraries.empty()) return {};
    return pack_libraries(tree, absolute(source), *needs, surroundings);
}

}  // namespace postern::app::exec
