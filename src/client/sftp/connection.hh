// An SSH connection to a node with its SFTP subsystem, driven by the calling thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hh"
#include "base/unique_fd.hh"
#include "ssh/keys/identity.hh"
#include "ssh/keys/public_key.hh"
#include "ssh/sftp/client.hh"

namespace mezite::client {

struct SftpOptions {
  std::string login;
  std::string node;  // the name that its host certificate must have
  std::vector<ssh::Identity> identities;
  std::vector<ssh::PublicKey> host_cas;
  std::function<std::string(const std::string& prompt, bool echo)> answer_prompt;  // unset: given up
  std::function<void(const std::string& lines)> show_banner;                       // printable; unset: not shown
};

class SftpConnection {
 public:
  // socket is connected to the node's SSH server. Returns when files may be asked for; the error is for the user, with
  // the node's own words where it refused.
  static Result<std::unique_ptr<SftpConnection>> open(UniqueFd socket, SftpOptions options);
  ~SftpConnection();  // says goodbye

  ssh::sftp::Client& files();
  const std::string& node() const;

  // Runs until done() says so; an error when the connection ended before.
  Status run_until(const std::function<bool()>& done);
  // Answers what the node asks, without waiting: for a connection that has nothing to do for a while.
  void keep_alive();

 private:
  class Body;
  explicit SftpConnection(std::unique_ptr<Body> body);
  std::unique_ptr<Body> body_;
};

}  // namespace mezite::client
