// What an audit event costs: to make its JSON, to store it durably alone and in company, to verify it.
#include <benchmark/benchmark.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "audit/audit_log.hh"
#include "base/log.hh"
#include "store/schema.hh"

namespace mezite::audit {
namespace {

Event login() {
  Event event = make_event(EventKind::kUserLogin);
  event.user_name = "alice";
  event.user_roles = {"access", "developer"};
  event.client_ip = "192.0.2.7";
  event.resource_labels = {{"env", "prod"}, {"team", "db"}};
  event.details = Details().add("method", "password").add("ttl_seconds", 43200).text();
  return event;
}

struct Store {
  Store() {
    // In the working folder: /tmp may be a RAM disk, which syncs nothing.
    char name[] = "./mezite-bench-XXXXXX";
    folder = ::mkdtemp(name);
    db = store::Database::open({.path = folder / "mezhub.db", .migrations = store::schema()}).value();
    log = AuditLog::open(
              *db, {.cluster_name = "bench", .hmac_key = Secret(std::string_view("key")), .previous_hmac_keys = {}})
              .value();
  }
  ~Store() {
    log.reset();
    db.reset();
    std::filesystem::remove_all(folder);
  }
  std::filesystem::path folder;
  std::unique_ptr<store::Database> db;
  std::unique_ptr<AuditLog> log;
};

void canonical_json(benchmark::State& state) {
  Event event = login();
  for (auto _ : state) benchmark::DoNotOptimize(to_canonical_json(event));
}
BENCHMARK(canonical_json);

void append_one_by_one(benchmark::State& state) {
  Store store;
  for (auto _ : state) {
    if (!store.log->append(login())) state.SkipWithError("append");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(append_one_by_one)->UseRealTime();

// Group commit: callers that wait at the same time share a transaction.
void append_from_threads(benchmark::State& state) {
  static std::unique_ptr<Store> store;
  if (state.thread_index() == 0) store = std::make_unique<Store>();
  for (auto _ : state) {
    if (!store->log->append(login())) state.SkipWithError("append");
  }
  state.SetItemsProcessed(state.iterations());
  if (state.thread_index() == 0) store.reset();
}
BENCHMARK(append_from_threads)->Threads(8)->Threads(64)->UseRealTime();

void append_batches_of_100(benchmark::State& state) {
  Store store;
  for (auto _ : state) {
    std::vector<Event> batch;
    for (int i = 0; i < 100; ++i) batch.push_back(login());
    if (!store.log->append(batch)) state.SkipWithError("append");
  }
  state.SetItemsProcessed(state.iterations() * 100);
}
BENCHMARK(append_batches_of_100)->UseRealTime();

void verify(benchmark::State& state) {
  Store store;
  constexpr int kEvents = 20'000;
  for (int i = 0; i < kEvents / 100; ++i) {
    std::vector<Event> batch;
    for (int j = 0; j < 100; ++j) batch.push_back(login());
    if (!store.log->append(batch)) state.SkipWithError("append");
  }
  for (auto _ : state) {
    auto report = store.log->verify();
    if (!report || !report->ok) state.SkipWithError("verify");
  }
  state.SetItemsProcessed(state.iterations() * kEvents);
}
BENCHMARK(verify)->UseRealTime()->Unit(benchmark::kMillisecond);

std::int64_t resident_kib() {
  std::ifstream status("/proc/self/statm");
  std::int64_t whole = 0, resident = 0;
  status >> whole >> resident;
  return resident * ::sysconf(_SC_PAGESIZE) / 1024;
}

// The whole of a long log: how long it takes, and how much more memory than before the highest page of it held.
void verify_a_million(benchmark::State& state) {
  Store store;
  constexpr std::int64_t kEvents = 1'000'000;
  std::vector<Event> batch(1000);
  for (std::int64_t i = 0; i < kEvents / 1000; ++i) {
    for (Event& event : batch) event = login();
    if (!store.log->append(batch)) state.SkipWithError("append");
  }
  for (auto _ : state) {
    std::int64_t before = resident_kib(), most = 0;
    auto report = store.log->verify([&](std::int64_t, std::int64_t) {
      most = std::max(most, resident_kib() - before);
      return true;
    });
    if (!report || !report->ok || report->verified < kEvents) state.SkipWithError("verify");
    state.counters["more_memory_KiB"] = static_cast<double>(most);
  }
  state.SetItemsProcessed(state.iterations() * kEvents);
}
BENCHMARK(verify_a_million)->UseRealTime()->Unit(benchmark::kSecond)->Iterations(1);

}  // namespace
}  // namespace mezite::audit
