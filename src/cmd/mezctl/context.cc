#include "cmd/mezctl/context.hh"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.hh"
#include "client/document.hh"
#include "client/terminal.hh"

namespace mezite::mezctl {
namespace {

constexpr std::uint16_t kApiPort = 3025;

bool ask_person(const net::HostPort& hub, std::string_view pin) {
  if (!client::is_terminal(0)) return false;
  const auto answer = client::ask_line(fmt::format(
      "The hub at {} is not known yet. Its CA has the pin\n  {}\n'mezctl ca status' on the hub prints the right one. "
      "Is it the same? [yes/no] ",
      hub.text(), pin));
  return answer && *answer == "yes";
}

}  // namespace

void say(std::string_view text) { fmt::print(stderr, "{}\n", text); }

bool Context::through_socket() const {
  // The socket is this machine's hub: who names a hub means that one.
  std::error_code error;
  return globals_.token.empty() && globals_.auth_server.empty() && std::filesystem::exists(globals_.socket, error);
}

Result<net::HostPort> Context::hub() const {
  if (through_socket()) return net::HostPort{.port = kApiPort};
  auto hub = net::parse_host_port(globals_.auth_server.empty() ? "localhost" : globals_.auth_server, kApiPort);
  if (!hub || hub->host.empty()) {
    return fail(ErrorCode::kInvalidArgument, "--auth-server: '{}' is not HOST:PORT, as in hub.example:3025",
                globals_.auth_server);
  }
  return hub;
}

Result<client::AdminApi> Context::connect_tls(Secret token) const {
  MEZ_TRY(const net::HostPort server, hub());
  if (globals_.insecure && globals_.ca_pin.empty()) {
    say("warning: --insecure: the hub's identity is not checked; who sits in between sees all");
  }
  MEZ_TRY(const client::HubIdentity identity,
          client::trust_hub(server, {.given_pin = globals_.ca_pin, .insecure = globals_.insecure, .ask = ask_person},
                            client::KnownHubs::of_user()));
  return client::AdminApi::through_tls(server, identity, std::move(token));
}

Result<client::AdminApi> Context::connect_anonymous() { return connect_tls(Secret()); }

Result<client::AdminApi> Context::connect() const {
  if (through_socket()) return client::AdminApi::through_socket(globals_.socket);
  if (globals_.token.empty()) {
    const std::string why =
        globals_.auth_server.empty() ? fmt::format(" and no hub's socket at {}", globals_.socket) : "";
    return fail(ErrorCode::kUnauthenticated,
                "there is no session token{}; export MEZITE_AUTH_TOKEN=$(mezctl login --auth-server=HOST:3025 "
                "--username=NAME), or run this as root on the hub",
                why);
  }
  return connect_tls(Secret(globals_.token));
}

Status Context::call(std::string_view method, const google::protobuf::Message& request,
                     google::protobuf::Message& response, std::chrono::milliseconds timeout) {
  if (!api_) {
    MEZ_TRY(auto api, connect());
    api_.emplace(std::move(api));
  }
  return api_->call(method, request, response, timeout);
}

Status Context::print(std::string_view text) const {
  if (auto status = write_all(STDOUT_FILENO, as_bytes(text)); !status)
    return wrap(status.error(), "writing the output");
  return {};
}

Status Context::print_json(const nlohmann::ordered_json& json) const {
  if (format() == Format::kYaml) return print(client::json_to_yaml(json));
  return print(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace mezite::mezctl
