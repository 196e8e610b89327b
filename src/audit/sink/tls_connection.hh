// A TLS connection of a thread that may wait: each call ends by its deadline. Inside src/audit/sink/ only.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "audit/sink/sink.hh"
#include "base/unique_fd.hh"
#include "crypto/tls.hh"
#include "net/address.hh"

namespace mezite::audit {

enum class Reach { kPublicOnly, kAnywhere };

// For clients that check the server's name. ca_file: its certificates in place of the system's.
Result<std::shared_ptr<crypto::TlsContext>> sink_tls_context(const std::filesystem::path& ca_file);

class TlsConnection {
 public:
  // Resolves, connects to the first address that is allowed and answers, and does the handshake. Errors name host, port
  // and cause; kPermissionDenied: no address is allowed.
  static Result<TlsConnection> connect(const net::HostPort& target, std::shared_ptr<crypto::TlsContext> context,
                                       Reach reach, SteadyTime deadline, const StopFlag& stop);

  Status send(std::string_view text);
  // Appends what comes next; 0: the peer has ended.
  Result<std::size_t> receive(std::string& out);
  // Says that all was sent and waits until the peer ends too: it has read everything then.
  Status finish();

 private:
  TlsConnection(UniqueFd fd, std::unique_ptr<crypto::TlsEngine> engine, std::string name, SteadyTime deadline,
                const StopFlag& stop)
      : fd_(std::move(fd)), engine_(std::move(engine)), name_(std::move(name)), deadline_(deadline), stop_(&stop) {}
  Status flush();
  Result<bool> fill();  // false: the peer has ended
  Status wait(short events);
  std::unexpected<Error> failure(const Error& error) const;

  UniqueFd fd_;
  std::unique_ptr<crypto::TlsEngine> engine_;
  std::string name_;
  SteadyTime deadline_;
  const StopFlag* stop_;
};

}  // namespace mezite::audit
