// SPDX-License-Identifier: Apache-2.0
// What is packed where.
#include "app/exec/file_tree.h"

#include <sys/stat.h>

#include "unit/app/exec/host_files.h"

namespace postern::app::exec {
namespace {

using Kind = FileTree::Node::Kind;

class Packing : public HostFiles {
protected:
    [[nodiscard]] const FileTree::Node& node(const std::string& at) const {
        static const FileTree::Node none{Kind::directory, 0, "nothing is there"};
        const auto found = tree_.nodes().find(at);
        EXPECT_NE(found, tree_.nodes().end()) << at;
        return found != tree_.nodes().end() ? found->second : none;
    }
    void expect(const std::string& at, Kind kind, const std::string& from) const {
        EXPECT_EQ(node(at).kind, kind) << at;
        EXPECT_EQ(node(at).from, from) << at;
    }

    FileTree tree_;
};

TEST_F(Packing, AFileKeepsItsPathAndItsMode) {
    const std::string tool = file("a dir/tool", "x", 0750);
    ASSERT_TRUE(tree_.mirror(tool));
    expect(tool, Kind::file, tool);
    EXPECT_EQ(node(tool).mode, 0750u);
    EXPECT_EQ(node(path("a dir")).kind, Kind::directory);
    EXPECT_EQ(node(top()).kind, Kind::directory);
}

TEST_F(Packing, LinksOnTheWayAreLinksThereToo) {
    file("real/lib.so.1.2", "x");
    link("real/lib.so.1", "lib.so.1.2");
    link("lib", "real");
    link("absolute", path("lib/lib.so.1"));
    ASSERT_TRUE(tree_.mirror(path("absolute")));
    expect(path("absolute"), Kind::link, path("lib/lib.so.1"));
    expect(path("lib"), Kind::link, "real");
    expect(path("real/lib.so.1"), Kind::link, "lib.so.1.2");
    expect(path("real/lib.so.1.2"), Kind::file, path("real/lib.so.1.2"));
}

TEST_F(Packing, DotsAreFollowedWhereLinksLead) {
    file("x/y/file", "x");
    file("x/other", "x");
    link("short", "x/y");
    ASSERT_TRUE(tree_.mirror(path("short/../other")));
    expect(path("x/other"), Kind::file, path("x/other"));
}

TEST_F(Packing, LinksInACircleAndWhatIsNotThereAreRefused) {
    link("a", "b");
    link("b", "a");
    const auto circle = tree_.mirror(path("a"));
    ASSERT_FALSE(circle);
    EXPECT_EQ(circle.error().status, 125);
    EXPECT_EQ(circle.error().error.what, "too many symbolic links");
    EXPECT_FALSE(tree_.mirror(path("nothing")));
}

TEST_F(Packing, WhatIsNeitherFileNorDirectoryIsRefused) {
    ASSERT_EQ(mkfifo(path("fifo").c_str(), 0600), 0);
    const auto packed = tree_.mirror(path("fifo"));
    ASSERT_FALSE(packed);
    EXPECT_EQ(packed.error().error.what, "neither a file, a directory nor a link");
}

TEST_F(Packing, ADirectoryIsPackedWhole) {
    file("d/one", "1");
    file("d/e/two", "2");
    link("d/three", "e/two");
    ASSERT_TRUE(tree_.place(path("d"), "/data"));
    expect("/data/one", Kind::file, path("d/one"));
    expect("/data/e/two", Kind::file, path("d/e/two"));
    expect("/data/three", Kind::link, "e/two");
    EXPECT_EQ(tree_.nodes().size(), 5u);
}

TEST_F(Packing, APlaceBehindALinkOfTheTreeIsFound) {
    file("usr/lib/one", "1");
    link("lib", "usr/lib");
    ASSERT_TRUE(tree_.mirror(path("lib/one")));
    const std::string two = file("two", "2");
    ASSERT_TRUE(tree_.place(two, path("lib/two")));
    expect(path("usr/lib/two"), Kind::file, two);
    expect(path("lib"), Kind::link, "usr/lib");
}

TEST_F(Packing, AFileIsNoDirectoryAndADirectoryNoFile) {
    const std::string one = file("one", "1");
    ASSERT_TRUE(tree_.place(one, "/etc/one"));
    const auto below = tree_.place(one, "/etc/one/two");
    ASSERT_FALSE(below);
    EXPECT_EQ(below.error().error.what, "/etc/one is a file, not a directory");
    const auto over = tree_.place(one, "/etc");
    ASSERT_FALSE(over);
    EXPECT_EQ(over.error().error.what, "/etc is a directory in the guest");
    const auto root = tree_.place(one, "/");
    ASSERT_FALSE(root);
}

TEST_F(Packing, AnArchiveHasALimit) {
    ASSERT_TRUE(tree_.place(file("one", "12345678"), "/one"));
    EXPECT_TRUE(tree_.archive(8));
    const auto archive = tree_.archive(7);
    ASSERT_FALSE(archive);
    EXPECT_EQ(archive.error().status, 125);
    EXPECT_EQ(archive.error().error.what, "8 bytes are more than the 7 that fit");
}

}  // namespace
}  // namespace postern::app::exec
