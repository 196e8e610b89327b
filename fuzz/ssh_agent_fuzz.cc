// Answers of an ssh-agent, over a real socket. First byte: whether keys are listed or a signature is asked for.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "ssh/agent/agent_client.hh"

namespace {

using namespace mezite;

void expect(bool condition) {
  if (!condition) std::abort();
}

struct Listener {
  Listener() {
    path = "/tmp/mezite-fuzz-agent-" + std::to_string(::getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ::unlink(path.c_str());
    expect(fd && ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    expect(::listen(fd.get(), 4) == 0);
  }
  ~Listener() { ::unlink(path.c_str()); }
  UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::string path;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Listener listener;
  if (size == 0) return 0;
  auto client = ssh::AgentClient::connect(listener.path);
  expect(client.has_value());
  const UniqueFd agent(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  // All of it is there before it is asked for, and then the end: nothing waits.
  const std::size_t answer = std::min<std::size_t>(size - 1, 65536);
  expect(::send(agent.get(), data + 1, answer, MSG_NOSIGNAL) == static_cast<ssize_t>(answer));
  ::shutdown(agent.get(), SHUT_WR);
  if (data[0] % 2 == 0) {
    if (const auto keys = client->list()) {
      std::size_t bytes = 0;
      for (const auto& key : *keys) bytes += 8 + key.blob.size() + key.comment.size();
      expect(bytes <= answer);
    }
  } else if (const auto signature = client->sign(as_bytes("blob"), "rsa-sha2-512", as_bytes("message"))) {
    expect(signature->size() <= answer);
  }
  return 0;
}
