#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "client/scp/copier.hh"
#include "client/scp/copy_end.hh"
#include "client/scp/local_tree.hh"
#include "client/scp/progress.hh"

namespace mezite::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST(CopyEndTest, WhatIsRemote) {
  const auto meaning = [](std::string_view text) -> std::string {
    const auto end = parse_copy_end(text);
    if (!end) return "refused";
    if (!end->remote) return "here " + end->path;
    return end->target.login + "@" + end->target.node + " " + end->path;
  };
  EXPECT_EQ(meaning("web-01:/etc/hosts"), "@web-01 /etc/hosts");
  EXPECT_EQ(meaning("root@web-01:a b:c"), "root@web-01 a b:c");
  EXPECT_EQ(meaning("web-01:"), "@web-01 ");
  EXPECT_EQ(meaning("a@b@web-01:~/x"), "a@b@web-01 ~/x");
  EXPECT_EQ(meaning("report.pdf"), "here report.pdf");
  EXPECT_EQ(meaning("./a:b"), "here ./a:b");
  EXPECT_EQ(meaning("/x/a:b"), "here /x/a:b");
  EXPECT_EQ(meaning(":a"), "here :a");
  EXPECT_EQ(meaning("-rf"), "here -rf");
  EXPECT_EQ(meaning(""), "refused");
  EXPECT_EQ(meaning("@web-01:x"), "refused");
  EXPECT_EQ(meaning("root@:x"), "refused");
  EXPECT_EQ(meaning("we b:x"), "refused");
  EXPECT_EQ(meaning("-oProxyCommand=x:y"), "refused");
}

TEST(CopyEndTest, Names) {
  EXPECT_EQ(last_part("a/b/"), "b");
  EXPECT_EQ(last_part("b"), "b");
  EXPECT_EQ(last_part("a//b///"), "b");
  for (const char* none : {"/", ".", "..", "a/..", "a/./", ""}) EXPECT_EQ(last_part(none), "") << none;
  EXPECT_EQ(join_path("a", "b"), "a/b");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(join_path("/", "b"), "/b");
  EXPECT_EQ(join_path(".", "b"), "b");
  EXPECT_TRUE(is_pattern("a*/b"));
  EXPECT_FALSE(is_pattern("a{b}~"));
}

TEST(CopyEndTest, FlagsAmongPaths) {
  const auto split =
      split_scp_arguments({"-rp", "a", "--login", "root", "-oX=y", "-o", "Z=w", "[b]", "--", "-c", "--d"});
  EXPECT_THAT(split.options, ElementsAre("-rp", "--login", "root", "-oX=y", "-o", "Z=w"));
  EXPECT_THAT(split.paths, ElementsAre("a", "[b]", "-c", "--d"));
}

TEST(ProgressTest, Lines) {
  EXPECT_EQ(short_bytes(0), "0 B");
  EXPECT_EQ(short_bytes(999), "999 B");
  EXPECT_EQ(short_bytes(1000), "1.0 KB");
  EXPECT_EQ(short_bytes(5ull << 30), "5.0 GB");
  EXPECT_EQ(short_time(std::chrono::seconds(125)), "02:05");
  EXPECT_EQ(short_time(std::chrono::seconds(3725)), "1:02:05");
  const ProgressState state{.name = "grün.txt", .done = 1 << 20, .total = 4 << 20, .bytes_per_second = 1 << 20};
  EXPECT_EQ(progress_line(state, 60), "grün.txt                 25%    1.0 MB    1.0 MB/s    00:03");
  EXPECT_EQ(progress_line({.name = std::string(100, 'x'), .done = 0, .total = 0}, 50).substr(0, 20),
            "xxxxxxxxxxxx… 100%");
}

// ---- who goes where, with a mover that writes down

struct NotedMover final : Mover {
  Status move(FileMove move) override {
    moves.push_back(fmt::format("{}>{}{}", move.from, move.to, move.target_exists ? "?" : ""));
    return {};
  }
  Status finish() override { return {}; }
  Status usable() const override { return {}; }
  std::vector<std::string> moves;
};

class CopierTest : public testing::Test {
 protected:
  CopierTest() {
    std::string name = (std::filesystem::temp_directory_path() / "mezite-scp-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
    before_ = std::filesystem::current_path();
    std::filesystem::current_path(folder_);
  }
  ~CopierTest() override {
    std::filesystem::current_path(before_);
    std::filesystem::remove_all(folder_);
  }
  static void touch(const std::string& path) {
    if (path.find('/') != std::string::npos)
      std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << path;
  }
  Status copy(const std::vector<std::string>& sources, const std::string& target,
              CopyOptions options = {.recursive = true}) {
    Copier copier(tree_, tree_, options, [this](const std::string& where, const Error& why) {
      failures_.push_back(where + ": " + why.message);
    });
    copier.set_mover(mover_);
    return copier.copy(sources, target);
  }

  std::filesystem::path folder_, before_;
  LocalTree tree_;
  NotedMover mover_;
  std::vector<std::string> failures_;
};

TEST_F(CopierTest, FilesGoToAFileOrIntoAFolder) {
  touch("a");
  touch("dir/inner");
  ASSERT_TRUE(copy({"a"}, "b"));
  ASSERT_TRUE(copy({"a"}, "dir"));
  ASSERT_TRUE(copy({"a", "dir/inner"}, "."));
  EXPECT_THAT(mover_.moves, ElementsAre("a>b?", "a>dir/a?", "a>a?", "dir/inner>inner?"));
  EXPECT_THAT(copy({"a", "dir/inner"}, "nowhere").error().message, HasSubstr("nowhere is no folder"));
  EXPECT_THAT(copy({"a"}, "nowhere/", {}).error().message, HasSubstr("ends with a slash"));
}

TEST_F(CopierTest, FoldersWithAllThatIsInThem) {
  touch("dir/a");
  touch("dir/sub/\n b");
  touch("dir/sub/-rf");
  ASSERT_TRUE(copy({"dir"}, "new"));
  EXPECT_THAT(mover_.moves, ElementsAre("dir/a>new/a", "dir/sub/\n b>new/sub/\n b", "dir/sub/-rf>new/sub/-rf"));
  EXPECT_TRUE(std::filesystem::is_directory("new/sub"));
  mover_.moves.clear();
  ASSERT_TRUE(copy({"dir"}, "new"));  // now it is there
  EXPECT_THAT(mover_.moves, testing::Contains("dir/a>new/dir/a"));
  mover_.moves.clear();
  ASSERT_TRUE(copy({"dir/."}, "new"));
  EXPECT_THAT(mover_.moves, testing::Contains("dir/./a>new/a?"));
  EXPECT_THAT(failures_, IsEmpty());
}

TEST_F(CopierTest, WhatCanNotBeCopiedIsSaidAndTheRestGoesOn) {
  touch("dir/a");
  touch("b");
  ASSERT_EQ(::mkfifo("dir/pipe", 0600), 0);
  std::filesystem::create_symlink("nowhere", "dir/dangling");
  ASSERT_TRUE(copy({"b", "missing", "dir"}, ".", {.recursive = false}));
  EXPECT_THAT(failures_, ElementsAre(HasSubstr("missing: no such file"), HasSubstr("copy it with -r")));
  failures_.clear();
  ASSERT_TRUE(copy({"dir"}, "new"));
  EXPECT_THAT(failures_, UnorderedElementsAre(HasSubstr("dir/pipe"), HasSubstr("dangling: no such file")));
}

TEST_F(CopierTest, LoopsOfLinksEnd) {
  touch("dir/a");
  std::filesystem::create_directory_symlink(".", "dir/loop");
  ASSERT_TRUE(copy({"dir"}, "new"));
  EXPECT_FALSE(failures_.empty());
  EXPECT_LT(mover_.moves.size(), 200u);
}

TEST_F(CopierTest, TwoSourcesOfOneNameAreNoticed) {
  touch("a/x");
  touch("b/x");
  std::filesystem::create_directory("to");
  ASSERT_TRUE(copy({"a/x", "b/x"}, "to"));
  EXPECT_THAT(mover_.moves, ElementsAre("a/x>to/x?"));
  EXPECT_THAT(failures_, ElementsAre(HasSubstr("another source of that name")));
}

TEST_F(CopierTest, LocalSinksAndSources) {
  LocalSink sink("file", 0640, LocalSink::Start::kEmpty);
  EXPECT_FALSE(std::filesystem::exists("file"));  // not before there is something to write
  ASSERT_TRUE(sink.write(as_bytes("hello"), 0));
  ASSERT_TRUE(sink.finish({.permissions = 0604, .accessed = 10, .modified = 20}, Preserve::kYes));
  const auto entry = tree_.stat("file");
  EXPECT_EQ(entry->permissions, 0604u);
  EXPECT_EQ(entry->modified, 20);
  LocalSink more("file", 0640, LocalSink::Start::kAppend);
  ASSERT_TRUE(more.write(as_bytes(" there"), 5));
  ASSERT_TRUE(more.finish({}, Preserve::kNo));
  LocalSource source;
  ASSERT_TRUE(source.open("file"));
  Bytes bytes(100);
  EXPECT_EQ(*source.read(bytes, 3), 8u);
  EXPECT_EQ(as_text(BytesView(bytes).first(8)), "lo there");
  EXPECT_EQ(LocalSource().open(".").error().message, "not a regular file");
  EXPECT_EQ(LocalSource().open("nowhere").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace mezite::client
