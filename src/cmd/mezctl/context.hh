// What every command has: the connection, made when it is first needed, and where its output goes.
#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hh"
#include "base/result.hh"
#include "client/admin_api.hh"
#include "client/table.hh"

namespace mezite::mezctl {

enum class Format { kText, kJson, kYaml };

struct Globals {
  std::string auth_server;  // empty: localhost:3025
  std::string token;
  std::string ca_pin;
  bool insecure = false;
  std::string socket = "/var/lib/mezite/admin.sock";
  Format format = Format::kText;
};

class Context {
 public:
  explicit Context(Globals globals) : globals_(std::move(globals)) {}

  const Globals& globals() const { return globals_; }
  Format format() const { return globals_.format; }
  client::Colour colour() const { return client::colour_of(1); }
  SystemTime now() const { return system_clock().now(); }

  // Calls the hub as who the token or the local socket says.
  Status call(std::string_view method, const google::protobuf::Message& request, google::protobuf::Message& response,
              std::chrono::milliseconds timeout = std::chrono::seconds(60));
  template <class Response>
  Result<Response> ask(std::string_view method, const google::protobuf::Message& request,
                       std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
    Response response;
    MEZ_CHECK(call(method, request, response, timeout));
    return response;
  }
  // Over TLS without a token, for login.
  Result<client::AdminApi> connect_anonymous();
  // host:port of the hub as users elsewhere would write it; empty host when it was reached through the socket.
  Result<net::HostPort> hub() const;
  bool through_socket() const;

  // Prints all of it at once; a text ends with its line feed.
  Status print(std::string_view text) const;
  // The JSON or YAML form; not for kText.
  Status print_json(const nlohmann::ordered_json& json) const;

 private:
  Result<client::AdminApi> connect() const;
  Result<client::AdminApi> connect_tls(Secret token) const;

  Globals globals_;
  std::optional<client::AdminApi> api_;
};

// A note for the person, on stderr.
void say(std::string_view text);

}  // namespace mezite::mezctl
