// User certificates by the User CA with a key in the database: everything but the audit log's write. Per second of CPU
// of one thread, whatever the machine is busy with.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <filesystem>

#include "cpu_clock.hh"
#include "pki/authority.hh"
#include "ssh/keys/private_key.hh"
#include "store/schema.hh"

namespace {

using namespace mezite;

void issue_user_certificates(benchmark::State& state) {
  char name[] = "/tmp/mezite-issue-XXXXXX";
  const std::filesystem::path folder = ::mkdtemp(name);
  auto database = store::Database::open({.path = folder / "mezhub.db", .migrations = store::schema()}).value();
  auto box = pki::SecretBox::open(*database, Secret()).value();
  auto keys = pki::software_key_store();
  auto authority = pki::Authority::open(*database, box, *keys, "bench").value();
  pki::UserCertificateRequest request{
      .user = "alice",
      .public_key = ssh::PrivateKey::generate(ssh::KeyType::kEd25519).value().public_key(),
      .logins = {"root", "ubuntu", "deploy"},
      .roles = {"access", "developer"},
      .traits = {{"logins", {"ubuntu"}}, {"team", {"db", "web"}}},
      .ttl = std::chrono::hours(12)};
  request.login_time = system_clock().now();
  const double start = mezite::bench::cpu_seconds();
  for (auto _ : state) {
    auto certificate = authority->sign_user_certificate(request);
    if (!certificate) state.SkipWithError(certificate.error().message.c_str());
    benchmark::DoNotOptimize(certificate);
  }
  const double used = mezite::bench::cpu_seconds() - start;
  state.counters["per_cpu_second"] = static_cast<double>(state.iterations()) / used;
  authority.reset();
  database.reset();
  std::filesystem::remove_all(folder);
}
BENCHMARK(issue_user_certificates)->MinTime(2);

}  // namespace
