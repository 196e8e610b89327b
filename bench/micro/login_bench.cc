// What one login with a user certificate costs the server: key exchange, proof of the key, check of the certificate.
// Callgrind counts the server's instructions alone, whatever the machine is busy with:
//
//   valgrind --tool=callgrind --instr-atstart=no build/bin/login_bench --benchmark_filter=counted/curve25519
//
// and divide what it collected by the iterations that are printed (bench/core.py does).
#include <benchmark/benchmark.h>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#endif

#include "cpu_clock.hh"
#include "ssh/endpoint/client.hh"
#include "ssh/endpoint/server.hh"
#include "ssh/keys/certificate_check.hh"
#include "ssh/transport/testing/pair.hh"

namespace {

using namespace mezite;
using namespace mezite::ssh;
using mezite::bench::cpu_seconds;
using mezite::ssh::testing::must;

// Runs of the server: their time is summed, and callgrind looks at nothing else.
class Meter {
 public:
  template <class Work>
  void operator()(Work work) {
    CALLGRIND_START_INSTRUMENTATION;
    const double start = cpu_seconds();
    work();
    seconds_ += cpu_seconds() - start;
    CALLGRIND_STOP_INSTRUMENTATION;
  }
  double seconds() const { return seconds_; }

 private:
  double seconds_ = 0;
};

struct CheckingServer : ServerHandler {
  explicit CheckingServer(const PublicKey& ca) : cas{ca} {}
  void on_auth_request(const AuthRequest& request, AuthResponder responder) override {
    const CertificateCheck check{
        .trusted_cas = cas, .now = from_unix_seconds(1500), .principal = request.user, .cache = cache};
    if (request.certificate && verify_certificate(*request.certificate, check)) return responder.accept();
    responder.reject();
  }
  void on_authenticated(const PeerIdentity&) override { in = true; }
  void on_channel_open(const ChannelOpen&, ChannelOpenResponder) override {}
  void on_closed(const Error&) override {}
  std::vector<PublicKey> cas;
  SignatureCache* cache = nullptr;
  bool in = false;
};

struct QuietClient : ClientHandler {
  Status on_host_key(const PublicKey&, const Certificate*) override { return {}; }
  void on_authenticated() override {}
  void on_closed(const Error&) override {}
};

// Everything that waits at one end goes to the other.
bool carry(Endpoint& from, Endpoint& to, Meter* meter) {
  const Bytes bytes = to_bytes(from.pending_output());
  if (bytes.empty()) return false;
  from.consume_output(bytes.size());
  const auto feed = [&] {
    const auto room = to.read_space();
    std::copy(bytes.begin(), bytes.end(), room.begin());
    to.commit_read(bytes.size());
  };
  if (meter != nullptr) {
    (*meter)(feed);
  } else {
    feed();
  }
  return true;
}

void login(benchmark::State& state, const std::string& kex, bool cached) {
  const auto ca = testing::test_key(KeyType::kEd25519);
  const auto user = std::make_shared<const PrivateKey>(must(PrivateKey::generate(KeyType::kEd25519)));
  const auto certificate = must(sign_certificate({.public_key = user->public_key(),
                                                  .key_id = "alice",
                                                  .principals = {"alice"},
                                                  .valid_after = from_unix_seconds(1000),
                                                  .valid_before = from_unix_seconds(2000),
                                                  .extensions = default_user_extensions()},
                                                 *ca));
  const auto server_config = std::make_shared<ServerConfig>();
  server_config->transport.host_keys = {
      {.signer = ca, .certificate = testing::test_host_certificate(KeyType::kEd25519)}};
  SignatureCache cache;
  Meter meter;
  for (auto _ : state) {
    ClientConfig client_config;
    client_config.user = "alice";
    client_config.transport.algorithms.kex = {kex};
    client_config.identities = {{user, certificate}};
    CheckingServer serving(ca->public_key());
    serving.cache = cached ? &cache : nullptr;
    QuietClient connecting;
    ClientEndpoint client(std::move(client_config), connecting, system_clock());
    std::unique_ptr<ServerEndpoint> server;
    meter([&] { server = std::make_unique<ServerEndpoint>(server_config, serving, system_clock()); });
    while (carry(client, *server, &meter) || carry(*server, client, nullptr)) {
    }
    if (!serving.in) state.SkipWithError("the login failed");
    meter([&] { server.reset(); });
  }
  state.counters["server_us"] = 1e6 * meter.seconds() / static_cast<double>(state.iterations());
}

void add_all() {
  for (const auto* kex :
       {"mlkem768x25519-sha256", "sntrup761x25519-sha512", "curve25519-sha256", "ecdh-sha2-nistp256"}) {
    for (const bool cached : {false, true}) {
      benchmark::RegisterBenchmark(fmt::format("login/{}{}", kex, cached ? "/known-certificate" : "").c_str(),
                                   [=](benchmark::State& state) { login(state, kex, cached); })
          ->Unit(benchmark::kMicrosecond);
    }
    benchmark::RegisterBenchmark(fmt::format("counted/{}", kex).c_str(), [=](benchmark::State& state) {
      login(state, kex, false);
    })->Iterations(50);
  }
}

const int registered = (add_all(), 0);

}  // namespace
