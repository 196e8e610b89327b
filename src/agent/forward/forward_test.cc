// Sockets of the login user, with a real other user where we are root.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent/forward/loopback.hh"
#include "agent/forward/user_helper.hh"
#include "agent/forward/xauth.hh"
#include "agent/testing.hh"
#include "base/text.hh"
#include "net/address.hh"

namespace mezite::agent {
namespace {

using testing::HasSubstr;

LoginUser ourselves() { return find_login_user(run("id -un").out.substr(0, run("id -un").out.size() - 1)).value(); }

class HelperTest : public testing::Test {
 protected:
  template <class Condition>
  void wait(Condition condition) {
    SteadyTime end = shard.now() + std::chrono::seconds(20);
    while (!condition()) {
      ASSERT_LT(shard.now(), end) << "waited in vain";
      shard.turn(std::chrono::milliseconds(20));
    }
  }
  using Outcome = std::optional<Result<UserHelper::Made>>;
  Result<UserHelper::Made> listen(UserHelper& helper, const std::string& path) {
    Outcome outcome;
    helper.listen(path, [&](Result<UserHelper::Made> made) { outcome = std::move(made); });
    wait([&] { return outcome.has_value(); });
    return std::move(*outcome);
  }
  Result<UserHelper::Made> connect(UserHelper& helper, const std::string& path) {
    Outcome outcome;
    helper.connect(path, [&](Result<UserHelper::Made> made) { outcome = std::move(made); });
    wait([&] { return outcome.has_value(); });
    return std::move(*outcome);
  }
  Result<UserHelper::Made> listen_for_agent(UserHelper& helper) {
    Outcome outcome;
    helper.listen_for_agent([&](Result<UserHelper::Made> made) { outcome = std::move(made); });
    wait([&] { return outcome.has_value(); });
    return std::move(*outcome);
  }
  static std::vector<pid_t> helpers() {
    std::vector<pid_t> found;
    Ran ran =
        run("ps -o pid=,args= --ppid " + std::to_string(::getpid()) + " | awk '$3 == \"forward-helper\" {print $1}'");
    for (std::string_view line : split(ran.out, '\n')) {
      if (!line.empty()) found.push_back(static_cast<pid_t>(std::stoi(std::string(line))));
    }
    return found;
  }

  net::Shard shard;
  net::WorkerPool workers{2};
  ScratchFolder folder;
};

TEST_F(HelperTest, ListensAndConnectsAndCleansUp) {
  auto helper = std::make_shared<UserHelper>(shard, workers, ourselves());
  std::string path = folder / "socket";
  auto listening = listen(*helper, path);
  ASSERT_TRUE(listening) << listening.error().message;
  struct stat info{};
  ASSERT_EQ(::lstat(path.c_str(), &info), 0);
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
  auto connected = connect(*helper, path);
  ASSERT_TRUE(connected) << connected.error().message;
  EXPECT_GE(::write(connected->fd.get(), "x", 1), 1);
  EXPECT_FALSE(listen(*helper, path)) << "what is there stays";
  auto none = connect(*helper, folder / "nothing");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("nothing"));

  helper->remove(path);
  wait([&] { return !std::filesystem::exists(path); });
  ASSERT_TRUE(listen(*helper, path)) << "and can be made again";
  auto agent = listen_for_agent(*helper);
  ASSERT_TRUE(agent) << agent.error().message;
  std::filesystem::path agent_folder = std::filesystem::path(agent->path).parent_path();
  ASSERT_EQ(::stat(agent_folder.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0700u);
  helper->close();
  wait([&] { return !std::filesystem::exists(path) && !std::filesystem::exists(agent_folder) && helpers().empty(); });
}

TEST_F(HelperTest, HasTheRightsOfItsUserOnly) {
  ScratchUser scratch;
  if (!scratch.valid()) GTEST_SKIP() << "needs root";
  LoginUser user = find_login_user(scratch.name()).value();
  auto helper = std::make_shared<UserHelper>(shard, workers, user);
  ASSERT_EQ(::chmod(folder.str().c_str(), 0755), 0);
  EXPECT_FALSE(listen(*helper, folder / "socket")) << "a folder of root's";
  // A socket in the user's home, by a path that begins there.
  auto mine = listen(*helper, "socket");
  ASSERT_TRUE(mine) << mine.error().message;
  struct stat info{};
  ASSERT_EQ(::lstat((scratch.home() + "/socket").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, user.uid);
  EXPECT_EQ(info.st_gid, user.gid);
  // Whoever listens sees the user, not root: databases let users in by that.
  auto connected = connect(*helper, scratch.home() + "/socket");
  ASSERT_TRUE(connected) << connected.error().message;
  UniqueFd accepted(::accept4(mine->fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ucred peer{};
  socklen_t size = sizeof peer;
  ASSERT_EQ(::getsockopt(accepted.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size), 0);
  EXPECT_EQ(peer.uid, user.uid);
  // The user can't get at the process from outside: it could hand over descriptors of its own making.
  ASSERT_EQ(helpers().size(), 1u);
  std::string proc = "/proc/" + std::to_string(helpers()[0]);
  EXPECT_THAT(slurp(proc + "/status"), HasSubstr(fmt::format("Uid:\t{0}\t{0}\t{0}\t{0}\n", user.uid)));
  ASSERT_EQ(::stat((proc + "/mem").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0u) << "not dumpable";
  // Through a symbolic link the rights of what it leads to count.
  auto root = std::make_shared<UserHelper>(shard, workers, find_login_user("root").value());
  ASSERT_TRUE(listen(*root, folder / "of-root"));
  std::filesystem::create_symlink(folder / "of-root", scratch.home() + "/link");
  auto through_link = connect(*helper, scratch.home() + "/link");
  ASSERT_FALSE(through_link);
  EXPECT_THAT(through_link.error().message, HasSubstr("ermission"));
  helper->close();
  root->close();
  wait([&] { return helpers().empty(); });
}

TEST_F(HelperTest, RemovesOnlyWhatItMade) {
  auto helper = std::make_shared<UserHelper>(shard, workers, ourselves());
  std::string path = folder / "socket";
  ASSERT_TRUE(listen(*helper, path));
  std::filesystem::remove(path);
  ASSERT_EQ(run("echo precious > " + path).exit_code, 0);
  helper->remove(path);
  helper->remove(folder.str());
  ASSERT_TRUE(listen(*helper, folder / "after"));
  EXPECT_EQ(slurp(path), "precious\n");
  helper->close();
  wait([&] { return helpers().empty(); });
  EXPECT_EQ(slurp(path), "precious\n");
}

TEST_F(HelperTest, AProcessThatWasKilledIsReplaced) {
  auto helper = std::make_shared<UserHelper>(shard, workers, ourselves());
  ASSERT_TRUE(listen(*helper, folder / "one"));
  ASSERT_EQ(helpers().size(), 1u);
  ::kill(helpers()[0], SIGKILL);
  wait([&] { return helpers().empty(); });
  shard.turn(std::chrono::milliseconds(20));
  EXPECT_TRUE(listen(*helper, folder / "two"));
  helper->close();
  wait([&] { return helpers().empty(); });
}

TEST_F(HelperTest, QuestionsAfterTheEndAreDropped) {
  auto helper = std::make_shared<UserHelper>(shard, workers, ourselves());
  bool called = false;
  helper->connect(folder / "x", [&](Result<UserHelper::Made>) { called = true; });
  helper->close();
  helper->connect(folder / "x", [&](Result<UserHelper::Made>) { called = true; });
  wait([&] { return helpers().empty() && workers.queued() == 0; });
  for (int i = 0; i < 5; ++i) shard.turn(std::chrono::milliseconds(10));
  wait([&] { return helpers().empty(); });
  EXPECT_FALSE(called);
}

TEST_F(HelperTest, PathsAreBounded) {
  auto helper = std::make_shared<UserHelper>(shard, workers, ourselves());
  EXPECT_FALSE(listen(*helper, "/" + std::string(200, 'x')));
  EXPECT_FALSE(listen(*helper, std::string("/tmp/a\0b", 8)));
  EXPECT_FALSE(connect(*helper, ""));
  helper->close();
}

TEST(Loopback, BothFamiliesOnOnePort) {
  auto made = listen_on_loopback(ourselves(), 0);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_NE(made->port, 0);
  for (const UniqueFd& fd : made->fds) {
    net::Address address = net::local_address(fd.get());
    EXPECT_TRUE(address.ip == "127.0.0.1" || address.ip == "::1") << address.ip;
    EXPECT_EQ(address.port, made->port);
  }
  auto again = listen_on_loopback(ourselves(), made->port);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kAlreadyExists);
  // Half of it taken is taken: another user's listener would get half of the connections.
  if (made->fds.size() == 2) {
    std::uint16_t port = made->port;
    made->fds.erase(made->fds.begin());
    EXPECT_FALSE(listen_on_loopback(ourselves(), port));
  }
}

TEST(Loopback, PrivilegedPortsAreRoots) {
  LoginUser nobody{.name = "nobody", .uid = 65534, .gid = 65534, .home = "/", .shell = "/bin/sh"};
  auto made = listen_on_loopback(nobody, 1023);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kPermissionDenied);
}

TEST(Loopback, SocketsBelongToTheUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  LoginUser nobody{.name = "nobody", .uid = 65534, .gid = 65534, .home = "/", .shell = "/bin/sh"};
  UniqueFd fd = socket_of(nobody, AF_INET);
  struct stat info{};
  ASSERT_EQ(::fstat(fd.get(), &info), 0);
  EXPECT_EQ(info.st_uid, 65534u);
  UniqueFd ours(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::fstat(ours.get(), &info), 0);
  EXPECT_EQ(info.st_uid, 0u) << "and this thread is itself again";
}

// OpenSSH CVE-2016-3115: what a client sends as protocol and cookie goes into commands for xauth.
TEST(Xauth, TakesCookiesOnly) {
  EXPECT_TRUE(is_valid_x11_cookie("MIT-MAGIC-COOKIE-1", "00112233445566778899aabbccddeeff"));
  for (auto [protocol, cookie] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"MIT-MAGIC-COOKIE-1", "0011\nsource /etc/shadow"},
           {"MIT-MAGIC-COOKIE-1\nsource", "0011"},
           {"MIT MAGIC", "0011"},
           {"", "0011"},
           {"-q", "0011"},
           {"MIT-MAGIC-COOKIE-1", ""},
           {"MIT-MAGIC-COOKIE-1", "001"},
           {"MIT-MAGIC-COOKIE-1", "zz"}}) {
    EXPECT_FALSE(is_valid_x11_cookie(protocol, cookie)) << protocol << " " << cookie;
  }
  EXPECT_FALSE(is_valid_x11_cookie("MIT-MAGIC-COOKIE-1", std::string(514, 'a')));
}

TEST(Xauth, WritesTheUsersFile) {
  ASSERT_EQ(run("which xauth").exit_code, 0) << "install xauth";
  ScratchUser scratch;
  if (!scratch.valid()) GTEST_SKIP() << "needs root";
  LoginUser user = find_login_user(scratch.name()).value();
  XauthEntry entry{
      .display = 77, .screen = 1, .protocol = "MIT-MAGIC-COOKIE-1", .cookie = "00112233445566778899aabbccddeeff"};
  Status added = add_xauth_entry(user, entry);
  ASSERT_TRUE(added) << added.error().message;
  struct stat info{};
  ASSERT_EQ(::stat((scratch.home() + "/.Xauthority").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, user.uid);
  EXPECT_THAT(run("xauth -f " + scratch.home() + "/.Xauthority list").out,
              testing::AllOf(HasSubstr("unix:77"), HasSubstr(entry.cookie)));
}

}  // namespace
}  // namespace mezite::agent
