#include "base/notify.hh"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>

#include "base/unique_fd.hh"

namespace mezite {
namespace {

TEST(Notify, SilentWithoutASupervisor) {
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_TRUE(notify_supervisor("READY=1"));
}

TEST(Notify, RefusesWhatIsNoPath) {
  ::setenv("NOTIFY_SOCKET", "relative", 1);
  EXPECT_FALSE(notify_supervisor("READY=1"));
  ::setenv("NOTIFY_SOCKET", ("/" + std::string(200, 'x')).c_str(), 1);
  EXPECT_FALSE(notify_supervisor("READY=1"));
  ::unsetenv("NOTIFY_SOCKET");
}

TEST(Notify, SendsOneDatagram) {
  char folder[] = "/tmp/mezite-notify-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  std::string path = std::string(folder) + "/socket";
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ::strcpy(address.sun_path, path.c_str());
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  Status sent = notify_supervisor("READY=1");
  ::unsetenv("NOTIFY_SOCKET");
  ASSERT_TRUE(sent) << sent.error().message;
  char text[64] = {};
  EXPECT_EQ(::recv(fd.get(), text, sizeof text, MSG_DONTWAIT), 7);
  EXPECT_STREQ(text, "READY=1");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace mezite
