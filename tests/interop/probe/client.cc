// ssh_probe_client: our client for other implementations' servers. One process runs every row of the matrix that it
// reads from stdin, one after another.
//
//   ssh_probe_client --list
//   ssh_probe_client --user NAME --identity PRIVATE_KEY_FILE --host-key PUBLIC_KEY_FILE … [--host-ca PUBLIC_KEY_FILE]
//                    [--command COMMAND]
//
// A row: PORT KEX HOSTKEY CIPHER MAC REKEY_BYTES DATA_BYTES. COMMAND (default: cat) has to send back what comes; the
// answer is one line: "OUTCOME DESCRIPTION", where OUTCOME is ok, or what went wrong with its spaces as underscores.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "crypto/random.hh"
#include "probe.hh"
#include "ssh/endpoint/client.hh"
#include "ssh/endpoint/interop.hh"
#include "ssh/keys/certificate_check.hh"

namespace mezite::interop {
namespace {

using namespace ssh;

struct Settings {
  std::string user = "alice";
  std::string command = "cat";
  std::vector<Identity> identities;
  std::vector<PublicKey> host_keys, host_cas;
};

class Program final : public ChannelHandler {
 public:
  Program(std::string command, BytesView input) : command_(std::move(command)), input_(input) {}
  void on_open(Channel channel) override {
    channel_ = std::move(channel);
    channel_.request(ExecRequest{command_}, [this](bool granted) {
      if (!granted) {
        error = "the command was refused";
        return channel_.close();
      }
      on_writable();
    });
  }
  void on_open_failed(OpenFailure, std::string_view text) override {
    error = "the channel was refused: " + std::string(text);
    closed = true;
  }
  void on_data(BytesView data, DataKind kind) override {
    if (kind == DataKind::kStdout) output.insert(output.end(), data.begin(), data.end());
    channel_.consumed(data.size());
  }
  void on_writable() override {
    while (sent_ < input_.size()) {
      const std::size_t taken = channel_.write(input_.subspan(sent_));
      if (taken == 0) return;
      sent_ += taken;
    }
    if (!std::exchange(ended_, true)) channel_.send_eof();
  }
  void on_request(const ChannelRequest& request, RequestResponder responder) override {
    if (const auto* status = std::get_if<ExitStatus>(&request)) {
      exit_code = static_cast<int>(status->code);
      responder.accept();
    }
  }
  void on_closed() override { closed = true; }

  Bytes output;
  int exit_code = -1;
  bool closed = false;
  std::string error;

 private:
  std::string command_;
  BytesView input_;
  Channel channel_;
  std::size_t sent_ = 0;
  bool ended_ = false;
};

class Handler final : public ClientHandler {
 public:
  explicit Handler(const Settings& settings) : settings_(settings) {}
  Status on_host_key(const PublicKey& key, const Certificate* certificate) override {
    if (certificate) {
      auto verdict = verify_certificate(*certificate, {.type = CertificateType::kHost,
                                                       .trusted_cas = settings_.host_cas,
                                                       .now = system_clock().now(),
                                                       .principal = "127.0.0.1"});
      if (!verdict) return std::unexpected(Error(verdict.error()));
    }
    if (std::ranges::find(settings_.host_keys, key) == settings_.host_keys.end()) {
      return fail(ErrorCode::kUnauthenticated, "that is not the server's host key");
    }
    return {};
  }
  void on_authenticated() override { authenticated = true; }
  void on_closed(const Error& error) override { ending = error.message; }

  bool authenticated = false;
  std::string ending;

 private:
  const Settings& settings_;
};

std::string run_row(const Settings& settings, const std::vector<std::string>& words) {
  const auto cell = parse_cell(words, 1);
  if (!cell || words.size() != 7) return "a row has seven words";
  ClientConfig config;
  config.user = settings.user;
  config.identities = settings.identities;
  apply(*cell, config.transport);
  const Bytes data = crypto::random_bytes(std::strtoul(words[6].c_str(), nullptr, 10));
  const UniqueFd fd =
      endpoint_testing::connect_loopback(static_cast<std::uint16_t>(std::strtoul(words[0].c_str(), nullptr, 10)));
  if (!fd) return "nobody listens - - - - - - 0 -";

  Handler handler(settings);
  auto program = std::make_shared<Program>(settings.command, data);
  ClientEndpoint client(std::move(config), handler, system_clock());
  const auto outcome = [&]() -> std::string {
    if (!endpoint_testing::drive_until(fd.get(), client, [&] { return handler.authenticated; })) {
      return handler.ending.empty() ? "no answer for 20 seconds" : handler.ending;
    }
    client.open_channel(SessionOpen{}, program);
    endpoint_testing::drive_until(fd.get(), client, [&] { return program->closed; });
    if (!program->error.empty()) return program->error;
    if (program->output != data) {
      return fmt::format("{} bytes came back of {}, or others; {}", program->output.size(), data.size(),
                         handler.ending);
    }
    if (program->exit_code != 0) return fmt::format("exit code {}; {}", program->exit_code, handler.ending);
    return "ok";
  };
  std::string text = outcome();
  std::ranges::replace(text, ' ', '_');
  text += " " + describe(client.transport());
  client.disconnect("done");
  endpoint_testing::drive(fd.get(), client);
  return text;
}

Status load(const std::vector<std::string>& arguments, Settings& settings) {
  for (std::size_t i = 0; i + 1 < arguments.size(); i += 2) {
    const std::string& value = arguments[i + 1];
    if (arguments[i] == "--user") {
      settings.user = value;
    } else if (arguments[i] == "--command") {
      settings.command = value;
    } else if (arguments[i] == "--identity") {
      MEZ_TRY(Identity identity, load_identity(value));
      settings.identities.push_back(std::move(identity));
    } else if (arguments[i] == "--host-key" || arguments[i] == "--host-ca") {
      MEZ_TRY(const std::string text, read_text(value));
      MEZ_TRY(PublicKey key, PublicKey::from_text(text));
      (arguments[i] == "--host-key" ? settings.host_keys : settings.host_cas).push_back(std::move(key));
    } else {
      return fail(ErrorCode::kInvalidArgument, "there is no option {}", arguments[i]);
    }
  }
  return {};
}

int run(int argc, char** argv) {
  Settings settings;
  if (Status loaded = load({argv + 1, argv + argc}, settings); !loaded) {
    fmt::print(stderr, "ssh_probe_client: {}\n", loaded.error().message);
    return 2;
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << run_row(settings, words_of(line)) << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace mezite::interop

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--list") {
    mezite::interop::print_lists(mezite::ssh::Role::kClient);
    return 0;
  }
  return mezite::interop::run(argc, argv);
}
