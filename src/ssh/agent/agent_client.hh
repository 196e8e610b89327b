// A small blocking client of ssh-agent (draft-ietf-sshm-ssh-agent): put a certified key in, take it out, list, sign.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hh"
#include "base/clock.hh"
#include "base/result.hh"
#include "base/unique_fd.hh"
#include "ssh/keys/certificate.hh"
#include "ssh/keys/private_key.hh"

namespace mezite::ssh {

struct AgentIdentity {
  Bytes blob;  // key or certificate
  std::string comment;
};

// One thread at a time. Every call waits five seconds at most for the agent.
class AgentClient {
 public:
  // kNotFound when SSH_AUTH_SOCK is unset or empty.
  static Result<AgentClient> from_environment();
  static Result<AgentClient> connect(const std::filesystem::path& socket);

  // Adds the key, or key and certificate; the agent forgets it after `lifetime` when that is not zero.
  Status add(const PrivateKey& key, const Certificate* certificate, std::string_view comment,
             std::chrono::seconds lifetime = {});
  Status remove(BytesView blob);
  Result<std::vector<AgentIdentity>> list();
  // The SSH signature blob. algorithm chooses the hash for RSA keys.
  Result<Bytes> sign(BytesView blob, std::string_view algorithm, BytesView message);

 private:
  explicit AgentClient(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<Bytes> call(BytesView request, std::chrono::seconds timeout);
  Status expect_success(BytesView request, std::string_view doing);
  UniqueFd fd_;
};

}  // namespace mezite::ssh
