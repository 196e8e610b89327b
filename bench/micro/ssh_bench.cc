// What the SSH transport costs in CPU: handshakes of both sides and of the server alone, and bulk data per cipher.
#include <benchmark/benchmark.h>

#include "cpu_clock.hh"
#include "ssh/transport/testing/pair.hh"

namespace {

using namespace mezite;
using namespace mezite::ssh;
using mezite::bench::cpu_seconds;
using mezite::ssh::testing::Pair;

// One handshake in memory up to the accepted service; server_us is the server's share of the CPU.
void handshake(benchmark::State& state, const std::string& kex, const std::string& host_key) {
  auto client = testing::client_config();
  client.algorithms.kex = {kex};
  client.algorithms.host_keys = {host_key};
  const auto client_config = std::make_shared<const TransportConfig>(std::move(client));
  const auto server_config = std::make_shared<const TransportConfig>(testing::server_config());
  double server_seconds = 0;
  for (auto _ : state) {
    testing::RememberingSink client_sink;
    testing::RememberingSink server_sink;
    auto connecting = testing::must(Transport::create(client_config, system_clock(), client_sink));
    double start = cpu_seconds();
    auto serving = testing::must(Transport::create(server_config, system_clock(), server_sink));
    server_seconds += cpu_seconds() - start;
    while (client_sink.services_ == 0) {
      const Bytes up = testing::drain(*connecting);
      start = cpu_seconds();
      testing::must(testing::feed(*serving, up));
      const Bytes down = testing::drain(*serving);
      server_seconds += cpu_seconds() - start;
      testing::must(testing::feed(*connecting, down));
    }
  }
  state.counters["server_us"] = 1e6 * server_seconds / static_cast<double>(state.iterations());
  state.counters["handshakes"] =
      benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

// Channel-sized messages from one transport to the other; sealing and opening are timed apart.
void bulk(benchmark::State& state, const std::string& cipher, const std::string& mac, std::size_t message_bytes) {
  auto client = testing::client_config();
  client.algorithms.ciphers = {cipher};
  client.algorithms.macs = {mac};
  Pair pair(std::move(client));
  testing::must(pair.connect());
  pair.client_sink.keep_packets_ = false;
  const std::size_t messages = std::max<std::size_t>(1, 262144 / message_bytes);
  const Bytes head{94};
  const Bytes text(message_bytes - 1);
  double seal_seconds = 0;
  double open_seconds = 0;
  std::uint64_t total_bytes = 0;
  for (auto _ : state) {
    double start = cpu_seconds();
    for (std::size_t i = 0; i < messages; ++i) {
      testing::must(pair.server->send(head, text));
    }
    const double sealed = cpu_seconds();
    seal_seconds += sealed - start;
    testing::must(pair.pump());  // a re-key once in a gibibyte is in it
    open_seconds += cpu_seconds() - sealed;
    total_bytes += messages * message_bytes;
  }
  const double mib = static_cast<double>(total_bytes) / (1024.0 * 1024.0);
  state.counters["seal_MiB/s"] = mib / seal_seconds;
  state.counters["open_MiB/s"] = mib / open_seconds;
  state.SetBytesProcessed(static_cast<std::int64_t>(total_bytes));
}

void add_all() {
  for (const auto& kex : {"curve25519-sha256", "ecdh-sha2-nistp256"}) {
    for (const auto& host_key : {"ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com", "ecdsa-sha2-nistp256",
                                 "ecdsa-sha2-nistp256-cert-v01@openssh.com", "rsa-sha2-512"}) {
      benchmark::RegisterBenchmark(fmt::format("handshake/{}/{}", kex, host_key).c_str(), [=](benchmark::State& state) {
        handshake(state, kex, host_key);
      })->Unit(benchmark::kMicrosecond);
    }
  }
  for (const auto& cipher : AlgorithmPreferences::defaults().ciphers) {
    for (const auto& mac : AlgorithmPreferences::defaults().macs) {
      const bool aead = !cipher.ends_with("-ctr");
      if (aead && mac != AlgorithmPreferences::defaults().macs[0]) continue;
      for (const std::size_t size : {std::size_t{64}, std::size_t{32768}}) {
        benchmark::RegisterBenchmark(
            fmt::format("bulk/{}{}{}/{}", cipher, aead ? "" : "/", aead ? "" : mac, size).c_str(),
            [=](benchmark::State& state) { bulk(state, cipher, mac, size); });
      }
    }
  }
}

const int registered = (add_all(), 0);

}  // namespace
