// The hub's admin API (proto/mezite/v1/admin.proto) as calls that give a Result. No gRPC in sight.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "base/result.hh"
#include "base/secret.hh"
#include "client/admin_trust.hh"
#include "net/address.hh"

namespace google::protobuf {
class Message;
}

namespace mezite::client {

// One connection. Calls block; one thread at a time.
class AdminApi {
 public:
  // Through the hub's local socket. Errors say what to do when nobody listens or it may not be opened.
  static Result<AdminApi> through_socket(const std::filesystem::path& socket);
  // Over TLS, believing `identity` alone. An empty token is for Login only.
  static Result<AdminApi> through_tls(const net::HostPort& hub, const HubIdentity& identity, Secret token);

  AdminApi(AdminApi&&) noexcept;
  AdminApi& operator=(AdminApi&&) noexcept;
  ~AdminApi();

  // Calls the method of AdminService by its name, "ListUsers", with messages of its types. The error is the hub's
  // sentence.
  Status call(std::string_view method, const google::protobuf::Message& request, google::protobuf::Message& response,
              std::chrono::milliseconds timeout = std::chrono::seconds(60));

 private:
  struct State;
  explicit AdminApi(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mezite::client
