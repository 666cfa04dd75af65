// SPDX-License-Identifier: Apache-2.0
// Finding a program and what it needs. Statuses are env(1)'s: 126 cannot be executed, 127 is not
// there.
#include "app/exec/program_file.h"

#include <algorithm>

#include "app/exec/elf_needs.h"
#include "app/exec/libraries.h"
#include "platform/boot/file.h"
#include "unit/app/exec/host_files.h"

namespace postern::app::exec {
namespace {

const Surroundings usual{{"PATH=/usr/bin:/bin"}, "/usr/bin:/bin"};

class Programs : public HostFiles {
protected:
    void expect_refused(int status, const std::string& name, const std::string& search,
                        const std::string& what) const {
        const auto found = find_program(name, search);
        ASSERT_FALSE(found) << *found;
        EXPECT_EQ(found.error().status, status);
        EXPECT_EQ(found.error().error.what, what);
        EXPECT_EQ(found.error().error.where, name.empty() ? "PROGRAM" : name);
    }
    void expect_not_packed(int status, const std::string& program, std::string_view what) {
        FileTree tree;
        const auto packed = pack_program(tree, program, usual);
        ASSERT_FALSE(packed);
        EXPECT_EQ(packed.error().status, status);
        EXPECT_EQ(packed.error().error.what, what);
    }
};

TEST_F(Programs, ANameIsLookedForInPathAndAPathIsNot) {
    const std::string tool = file("bin/my tool", "#!/bin/sh\n", 0755);
    EXPECT_EQ(find_program("my tool", "/nonexistent:" + path("bin")).value(), tool);
    EXPECT_EQ(find_program(tool, "").value(), tool);
    expect_refused(127, "my tool", "/nonexistent", "no such program");
    expect_refused(127, path("bin/other"), path("bin"), "no such program");
    expect_refused(127, "", "/bin", "a program without a name");
}

TEST_F(Programs, WhatMayNotBeExecutedIsPassedOverInPathAndRefusedInTheEnd) {
    file("first/tool", "x", 0644);
    const std::string second = file("second/tool", "x", 0755);
    EXPECT_EQ(find_program("tool", path("first") + ":" + path("second")).value(), second);
    expect_refused(126, "tool", path("first"), "it may not be executed");
    expect_refused(126, path("first"), "", "it is a directory");
    expect_refused(126, path("first/tool"), "", "it may not be executed");
}

TEST_F(Programs, TheFirstLineOfAScriptIsReadAsLinuxDoes) {
    EXPECT_EQ(script_line("#!/bin/sh").interpreter, "/bin/sh");
    EXPECT_EQ(script_line("#! \t/bin/sh -e  -x \t").interpreter, "/bin/sh");
    EXPECT_EQ(script_line("#! \t/bin/sh -e  -x \t").argument, "-e  -x");
    EXPECT_EQ(script_line("#!").interpreter, "");
    EXPECT_EQ(script_line("#!   ").interpreter, "");
}

TEST_F(Programs, AScriptBringsItsInterpreterAndTheLibrariesOfThat) {
    const std::string script = file("a script", "#!/bin/sh\nexit 0\n", 0755);
    FileTree tree;
    ASSERT_TRUE(pack_program(tree, script, usual));
    const auto has = [&](std::string_view end) {
        return std::ranges::any_of(tree.nodes(), [&](const auto& n) {
            return n.first.ends_with(end) && n.second.kind == FileTree::Node::Kind::file;
        });
    };
    EXPECT_TRUE(has("/a script"));
    EXPECT_TRUE(has("/libc.so.6"));
    EXPECT_TRUE(tree.nodes().contains("/lib64/ld-linux-x86-64.so.2") ||
                tree.nodes().contains("/usr/lib64/ld-linux-x86-64.so.2"));
    EXPECT_FALSE(has("/bin/env"));
}

TEST_F(Programs, EnvInAScriptBringsWhatItLooksFor) {
    const std::string script = file("script", "#!/usr/bin/env -S X=1 sh -e\n", 0755);
    FileTree tree;
    ASSERT_TRUE(pack_program(tree, script, usual));
    EXPECT_TRUE(tree.nodes().contains("/usr/bin/env"));
    EXPECT_TRUE(tree.nodes().contains("/usr/bin/sh"));
}

TEST_F(Programs, ScriptsWithoutAnInterpreterAreNotFound) {
    const std::string script = file("script", "#!/nonexistent/sh\n", 0755);
    expect_not_packed(127, script, "its interpreter /nonexistent/sh: no such program");
    const std::string itself = file("itself", "#!" + path("itself") + "\n", 0755);
    FileTree tree;
    const auto packed = pack_program(tree, itself, usual);
    ASSERT_FALSE(packed);
    EXPECT_EQ(packed.error().status, 126);
}

TEST_F(Programs, WhatIsNoProgramCannotBeExecuted) {
    expect_not_packed(126, file("text", "echo hello\n", 0755),
                      "neither an ELF file nor a script with #!");
    expect_not_packed(126, file("empty", "", 0755), "neither an ELF file nor a script with #!");
    expect_not_packed(126,
                      file("arm", std::string("\177ELF\2\1\1", 7) + std::string(80, '\0'), 0755),
                      "not a program for x86-64 of 64 bits");
}

TEST_F(Programs, AProgramBringsLibrariesThroughLinks) {
    link("sh", "/bin/sh");
    FileTree tree;
    ASSERT_TRUE(pack_program(tree, path("sh"), usual));
    EXPECT_EQ(tree.nodes().at(path("sh")).kind, FileTree::Node::Kind::link);
    EXPECT_GE(tree.nodes().size(), 8u);
}

TEST_F(Programs, AFileIsPlacedUnderItsNameOrAnother) {
    const std::string data = file("data", "x");
    FileTree tree;
    ASSERT_TRUE(pack_file(tree, data, usual));
    ASSERT_TRUE(pack_file(tree, data + "=there/../else where/data", usual));
    EXPECT_TRUE(tree.nodes().contains(data));
    EXPECT_TRUE(tree.nodes().contains("/else where/data"));
    for (const std::string& bad : {data + "=", std::string{"=/x"}, path("nothing")}) {
        const auto packed = pack_file(tree, bad, usual);
        ASSERT_FALSE(packed) << bad;
        EXPECT_EQ(packed.error().status, 125);
        EXPECT_EQ(packed.error().error.where, "--file " + bad);
    }
}

TEST_F(Programs, AProgramThatIsAFileBringsItsLibraries) {
    FileTree tree;
    ASSERT_TRUE(pack_file(tree, "/bin/cat=/tools/cat", usual));
    EXPECT_TRUE(tree.nodes().contains("/tools/cat"));
    EXPECT_TRUE(std::ranges::any_of(tree.nodes(),
                                    [](const auto& n) { return n.first.ends_with("/libc.so.6"); }));
}

TEST(LibraryList, TellsFoundFromMissing) {
    const LibraryList list = parse_library_list(
        "\tlinux-vdso.so.1 (0x00007ffd1b5f2000)\n"
        "\tliba.so.1 => /opt/a (b) dir/liba.so.1 (0x00007f1c2c000000)\n"
        "\tlibgone.so.2 => not found\n"
        "/x/prog: /lib/libc.so.6: version `GLIBC_2.99' not found (required by /x/prog)\n"
        "\t/lib64/ld-linux-x86-64.so.2 (0x00007f1c2c6b5000)\n");
    EXPECT_EQ(list.found, (std::vector<std::string>{"/opt/a (b) dir/liba.so.1",
                                                    "/lib64/ld-linux-x86-64.so.2"}));
    EXPECT_EQ(list.missing, std::vector<std::string>{"libgone.so.2"});
    EXPECT_TRUE(list.complaint.starts_with("/x/prog: /lib/libc.so.6: version"));
}

TEST(ElfNeeds, OfADynamicProgramAreItsInterpreterAndLibraries) {
    const auto bytes = platform::read_file("/bin/cat", 1 << 30, "").value();
    const auto needs = elf_needs(bytes);
    ASSERT_TRUE(needs);
    EXPECT_EQ(needs->interpreter, "/lib64/ld-linux-x86-64.so.2");
    EXPECT_EQ(needs->libraries, std::vector<std::string>{"libc.so.6"});
}

TEST(ElfNeeds, OfAFileCutAnywhereAreNothingOrFewer) {
    const auto bytes = platform::read_file("/bin/cat", 1 << 30, "").value();
    for (size_t size = 0; size < bytes.size(); size += 61) {
        // A copy, so that a read beyond the end is one beyond its memory.
        const std::vector<u8> cut{bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)};
        if (const auto needs = elf_needs(cut)) {
            EXPECT_LE(needs->libraries.size(), 1u);
        }
    }
}

}  // namespace
}  // namespace postern::app::exec
