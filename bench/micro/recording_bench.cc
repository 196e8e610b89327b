// What recording a session costs in CPU: 1 GiB of session data in pieces of 32 KiB through a Recorder, from the
// session's thread to the file. The counters are seconds of CPU per GiB: of the session's own thread, and of all others
// in the program (user and system); "size" is the file's share of what came. Paced runs feed as fast as a session does
// over SSH.
#include <benchmark/benchmark.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/id.hh"
#include "recording/recorder.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kPieceBytes = 32 * 1024;
constexpr std::uint64_t kTotalBytes = std::uint64_t{1} << 30;
enum Data : std::int64_t { kNoise, kYes, kText };

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

struct Usage {
  double user = 0;
  double system = 0;
  double switches = 0;
  static Usage of(int who) {
    rusage usage{};
    ::getrusage(who, &usage);
    return {seconds(usage.ru_utime), seconds(usage.ru_stime),
            static_cast<double>(usage.ru_nvcsw) + static_cast<double>(usage.ru_nivcsw)};
  }
};

// 16 MiB, more than the caches that count hold.
Bytes make(Data what) {
  Bytes data(std::size_t{16} << 20);
  std::uint64_t state = 0x9e3779b97f4a7c15;
  const auto random = [&] {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  };
  static constexpr std::string_view kLine = "y\n";
  static constexpr std::string_view kWords[] = {"error ",      "the ",  "src/recording/", "0x7f", "\x1b[31m",  "\r\n",
                                                "drwxr-xr-x ", "root ", "4096 ",          "Nov ", "warning: ", "22 "};
  for (std::size_t at = 0; at < data.size();) {
    switch (what) {
      case kNoise: data[at++] = static_cast<std::uint8_t>(random() >> 24); break;
      case kYes: data[at] = static_cast<std::uint8_t>(kLine[at % 2]), ++at; break;
      case kText:
        for (const char letter : kWords[(random() >> 20) % std::size(kWords)]) {
          if (at < data.size()) data[at++] = static_cast<std::uint8_t>(letter);
        }
        for (int digit = 0; digit < 3 && at < data.size(); ++digit)
          data[at++] = static_cast<std::uint8_t>('0' + (random() >> 30) % 10);
        break;
    }
  }
  return data;
}

// Arguments: the data, MiB/s (0: as fast as it is taken).
void record(benchmark::State& state) {
  const Bytes data = make(static_cast<Data>(state.range(0)));
  const auto rate = static_cast<double>(state.range(1)) * 1048576;
  char name[] = "./mezite-bench-XXXXXX";  // /tmp may be a RAM disk
  const std::filesystem::path folder = ::mkdtemp(name);
  Spool spool = Spool::open(folder / "spool").value();
  const std::string id = new_uuid();
  const Header header{.session_id = id,
                      .cluster_name = "main",
                      .user = "alice",
                      .login = "root",
                      .node = "web-01",
                      .kind = SessionKind::kExec,
                      .chain_key = {.recipient = Identity::generate().recipient()}};
  double own = 0;
  double user = 0;
  double system = 0;
  double switches = 0;
  for (auto _ : state) {
    Recorder recorder(spool, system_clock());
    std::mutex mutex;
    std::condition_variable changed;
    bool drained = false;
    bool finished = false;
    const auto note = [&](bool& what) {
      return [&] {
        const std::lock_guard lock(mutex);
        what = true;
        changed.notify_all();
      };
    };
    auto session =
        recorder
            .open(header, {.drained = note(drained), .failed = nullptr, .finished = note(finished), .synced = nullptr})
            .value();
    const Usage own_before = Usage::of(RUSAGE_THREAD);
    const Usage all_before = Usage::of(RUSAGE_SELF);
    const auto began = std::chrono::steady_clock::now();
    for (std::uint64_t sent = 0; sent < kTotalBytes; sent += kPieceBytes) {
      session->write(EventKind::kStdout, BytesView(data).subspan(sent % data.size(), kPieceBytes));
      if (session->congested()) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return drained; });
        drained = false;
      }
      // A quarter of a MiB at a time: the sleeps themselves are not what is measured.
      if (rate > 0 && sent % (1 << 18) == 0) {
        std::this_thread::sleep_until(began + std::chrono::duration_cast<std::chrono::nanoseconds>(
                                                  std::chrono::duration<double>(static_cast<double>(sent) / rate)));
      }
    }
    session->finish({.exit_code = 0, .signal = ""});
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return finished; });
    }
    const Usage own_after = Usage::of(RUSAGE_THREAD);
    const Usage all_after = Usage::of(RUSAGE_SELF);
    const double mine = own_after.user + own_after.system - own_before.user - own_before.system;
    own += mine;
    user += all_after.user - all_before.user - (own_after.user - own_before.user);
    system += all_after.system - all_before.system - (own_after.system - own_before.system);
    switches += all_after.switches - all_before.switches;
    state.counters["size"] =
        static_cast<double>(std::filesystem::file_size(spool.path_of(id))) / static_cast<double>(kTotalBytes);
    (void)spool.remove(id);
  }
  const auto per_run = [&](double value) { return benchmark::Counter(value, benchmark::Counter::kAvgIterations); };
  state.counters["session_s"] = per_run(own);
  state.counters["rest_user_s"] = per_run(user);
  state.counters["rest_system_s"] = per_run(system);
  state.counters["all_s"] = per_run(own + user + system);
  state.counters["switches"] = per_run(switches);
  std::filesystem::remove_all(folder);
}
BENCHMARK(record)
    ->ArgNames({"data", "mib_s"})
    ->ArgsProduct({{kNoise, kYes, kText}, {250, 0}})
    ->Iterations(2)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace mezite::recording
