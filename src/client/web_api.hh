// The hub's web API as msh uses it: one HTTPS request a call, blocking.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hh"
#include "base/result.hh"
#include "net/address.hh"
#include "net/http/http_client.hh"

namespace mezite::client {

struct Ping {
  std::string cluster_name;
  std::string version;
  std::string proxy_public_addr;
};

struct LoginRequest {
  std::string user;
  std::string_view password;
  std::string ssh_public_key;  // "ssh-ed25519 AAAA…"
  std::chrono::seconds ttl{};
};

// Whom to trust from now on, as the hub says in its answers; lists that are empty say nothing.
struct HubTrust {
  std::vector<std::string> host_cas, user_cas;  // "ssh-ed25519 AAAA…", the one that signs first
  std::vector<std::string> ca_pins;             // "sha256:…"
};

struct LoginAnswer {
  std::string user;
  std::string certificate;  // "ssh-ed25519-cert-v01@openssh.com AAAA…"
  std::vector<std::string> host_cas;
  std::string cluster;
  std::string session_token;
  SystemTime expires_at{};
  std::string ssh_addr;
  std::vector<std::string> roles;
  std::vector<std::string> logins;
};

struct Node {
  std::string name;
  std::string hostname;
  std::map<std::string, std::string> labels;
  std::vector<std::string> logins;
  bool connected = false;
};

struct RecordingQuery {
  std::string user, node;
  std::int64_t since_ms = 0, until_ms = 0;
  int limit = 0;
};

struct DialTicket {
  std::string ticket;
  std::string ssh_addr;
};

// From the hub's JSON; kProtocol when a field that is needed is missing or of another type.
Result<LoginAnswer> parse_login_answer(std::string_view json);
Result<std::vector<Node>> parse_nodes(std::string_view json);
Result<DialTicket> parse_dial_ticket(std::string_view json);
// {"error":{"code","message"}} with its status as an Error; a body of another kind is named by its status.
Error parse_error(int status, std::string_view body);

// One thread at a time.
class WebApi {
 public:
  WebApi(net::HostPort proxy, net::http::TrustPolicy trust) : proxy_(std::move(proxy)), trust_(std::move(trust)) {}

  Result<Ping> ping();
  Result<LoginAnswer> login(const LoginRequest& request);
  // With a session token from here on.
  void set_token(std::string token) { token_ = std::move(token); }
  Result<std::vector<Node>> nodes();
  Result<DialTicket> dial(std::string_view node, std::string_view login);
  // Another certificate for the same session: "ssh-ed25519-cert-v01@openssh.com AAAA…".
  Result<std::string> renew_certificate(std::string_view ssh_public_key, std::chrono::seconds ttl);
  Status logout();

  // v1::ListRecordingsResponse and v1::Recording as JSON, as the hub gave it.
  Result<std::string> recordings(const RecordingQuery& query);
  Result<std::string> recording(std::string_view session_id);
  // At most max_bytes of it; empty at its end.
  Result<std::string> recording_part(std::string_view session_id, std::uint64_t offset, std::size_t max_bytes);

  // From the last answer that had it.
  const HubTrust& trust() const { return hub_trust_; }

 private:
  void read_trust(std::string_view body);
  Result<std::string> call(std::string method, std::string target, std::string body = {});
  net::HostPort proxy_;
  net::http::TrustPolicy trust_;
  std::string token_;
  HubTrust hub_trust_;
};

}  // namespace mezite::client
