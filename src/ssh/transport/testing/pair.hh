// For tests, benchmarks and fuzz harnesses: configurations with throw-away keys, a sink that remembers, and two
// transports joined in memory.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "ssh/keys/certificate.hh"
#include "ssh/keys/private_key.hh"
#include "ssh/transport/transport.hh"
#include "ssh/wire/transport_messages.hh"

namespace mezite::ssh::testing {

// For what cannot fail in a test; ends the program with the error otherwise.
template <class T>
T must(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "{}\n", result.error().message);
    std::abort();
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

inline constexpr KeyType kTestKeyTypes[] = {KeyType::kEd25519, KeyType::kEcdsaP256, KeyType::kEcdsaP384,
                                            KeyType::kEcdsaP521, KeyType::kRsa};

// One key of each kind for the whole program, as RSA keys take long to make.
inline std::shared_ptr<const PrivateKey> test_key(KeyType type) {
  static const auto keys = [] {
    std::vector<std::shared_ptr<const PrivateKey>> made;
    for (const KeyType each : kTestKeyTypes) {
      made.push_back(std::make_shared<const PrivateKey>(must(PrivateKey::generate(each, 2048))));
    }
    return made;
  }();
  return keys[static_cast<std::size_t>(std::ranges::find(kTestKeyTypes, type) - std::begin(kTestKeyTypes))];
}

inline Bytes test_host_certificate(KeyType type) {
  CertificateRequest request{.public_key = test_key(type)->public_key(),
                             .type = CertificateType::kHost,
                             .key_id = "host",
                             .principals = {"localhost"},
                             .valid_after = SystemTime(std::chrono::seconds(0)),
                             .valid_before = SystemTime(std::chrono::seconds(4'000'000'000))};
  return must(sign_certificate(std::move(request), *test_key(KeyType::kEd25519))).wire();
}

inline TransportConfig server_config() {
  TransportConfig config;
  config.role = Role::kServer;
  static const auto host_keys = [] {
    std::vector<HostKey> made;
    for (const KeyType type : kTestKeyTypes) {
      made.push_back({.signer = test_key(type), .certificate = test_host_certificate(type)});
    }
    return made;
  }();
  config.host_keys = host_keys;
  return config;
}

inline TransportConfig client_config() {
  TransportConfig config;
  config.role = Role::kClient;
  config.verify_host_key = [](const HostKeyOffer&) { return Status(); };
  return config;
}

class RememberingSink : public PacketSink {
 public:
  Status on_packet(BytesView payload) override {
    bytes_ += payload.size();
    if (keep_packets_) packets_.push_back(to_bytes(payload));
    if (on_packet_) return on_packet_(payload);
    return {};
  }
  Status on_service_ready() override {
    ++services_;
    return {};
  }
  void on_key_exchange() override { ++key_exchanges_; }
  void on_ext_info() override { ++ext_infos_; }
  void on_peer_disconnect(DisconnectReason reason, std::string_view text) override {
    disconnect_ = {static_cast<std::uint32_t>(reason), std::string(text)};
  }

  std::vector<Bytes> packets_;
  bool keep_packets_ = true;
  std::size_t bytes_ = 0;
  int services_ = 0;
  int key_exchanges_ = 0;
  int ext_infos_ = 0;
  std::pair<std::uint32_t, std::string> disconnect_;
  std::function<Status(BytesView)> on_packet_;
};

// Gives bytes to a transport as a socket would.
inline Status feed(Transport& to, BytesView bytes) {
  Status status;
  while (!bytes.empty() && status) {
    const auto room = to.read_space(std::min<std::size_t>(bytes.size(), 65536));
    const std::size_t size = std::min(room.size(), bytes.size());
    std::copy_n(bytes.begin(), size, room.begin());
    bytes = bytes.subspan(size);
    status = to.commit_read(size);
  }
  return status;
}

inline Bytes drain(Transport& from) {
  Bytes bytes = to_bytes(from.pending_output());
  from.consume_output(bytes.size());
  return bytes;
}

struct Pair {
  explicit Pair(TransportConfig client_settings = client_config(), TransportConfig server_settings = server_config()) {
    client = must(
        Transport::create(std::make_shared<const TransportConfig>(std::move(client_settings)), clock, client_sink));
    server = must(
        Transport::create(std::make_shared<const TransportConfig>(std::move(server_settings)), clock, server_sink));
  }

  // Carries bytes both ways until neither side has more to say; the first error of either.
  Status pump() {
    Status result;
    while (!client->pending_output().empty() || !server->pending_output().empty()) {
      const Bytes up = drain(*client);
      const Bytes down = drain(*server);
      if (auto status = feed(*server, up); !status && result) result = status;
      if (auto status = feed(*client, down); !status && result) result = status;
    }
    return result;
  }
  // Up to phase kConnection on both sides.
  Status connect() {
    MEZ_CHECK(pump());
    client->set_phase(Phase::kConnection);
    server->set_phase(Phase::kConnection);
    return {};
  }

  ManualClock clock;
  RememberingSink client_sink;
  RememberingSink server_sink;
  std::unique_ptr<Transport> client;
  std::unique_ptr<Transport> server;
};

}  // namespace mezite::ssh::testing
