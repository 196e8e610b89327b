// The recorder's thread and the spool: nothing is lost, memory stays bounded, crashes and full disks are survived.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <future>
#include <thread>

#include "base/testing.hh"
#include "recording/recorder.hh"
#include "recording/test_support.hh"

namespace mezite::recording {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// What a session's callbacks said; the test waits for it.
struct Watch {
  std::promise<void> finished_promise;
  std::future<void> finished = finished_promise.get_future();
  std::mutex mutex;
  std::condition_variable changed;
  int drained = 0;
  std::vector<std::string> failures;

  static Session::Callbacks callbacks(const std::shared_ptr<Watch>& watch) {
    return {.drained =
                [watch] {
                  const std::lock_guard lock(watch->mutex);
                  ++watch->drained;
                  watch->changed.notify_all();
                },
            .failed =
                [watch](const Error& error) {
                  const std::lock_guard lock(watch->mutex);
                  watch->failures.push_back(error.message);
                  watch->changed.notify_all();
                },
            .finished = [watch] { watch->finished_promise.set_value(); }};
  }
};

TEST(Recorder, RecordsASessionAndReleasesIt) {
  const TempFolder folder;
  Spool spool = Spool::open(folder / "spool").value();
  Recorder recorder(spool, system_clock());
  const auto watch = std::make_shared<Watch>();
  const Header header = some_header();
  auto session = recorder.open(header, Watch::callbacks(watch)).value();
  EXPECT_THAT(spool.waiting().value(), IsEmpty());
  session->write(EventKind::kOutput, as_bytes("hello"));
  session->resize(100, 30);
  session->finish({.exit_code = 3, .signal = ""});
  session->write(EventKind::kOutput, as_bytes("after the end"));
  ASSERT_EQ(watch->finished.wait_for(30s), std::future_status::ready);
  EXPECT_THAT(spool.waiting().value(), ElementsAre(header.session_id));
  const ReadBack back = read_back_file(spool.path_of(header.session_id));
  EXPECT_TRUE(back.complete);
  ASSERT_THAT(back.events, SizeIs(3));
  EXPECT_EQ(as_text(back.events[0].data), "hello");
  EXPECT_EQ(back.events[1].columns, 100);
  EXPECT_EQ(back.events[2].end.exit_code, 3);
}

TEST(Recorder, WritesAQuietSessionWithinASecondOrSo) {
  const TempFolder folder;
  Spool spool = Spool::open(folder / "spool").value();
  Recorder recorder(spool, system_clock());
  const Header header = some_header();
  auto session = recorder.open(header, {}).value();
  session->write(EventKind::kOutput, as_bytes("$ "));
  const auto live = folder / "spool" / (header.session_id + ".live.mezrec");
  EXPECT_TRUE(await_files(folder / "spool", [&] { return read_back_file(live).text(EventKind::kOutput) == "$ "; }));
}

TEST(Recorder, ManySessionsFromManyThreads) {
  const TempFolder folder;
  Spool spool = Spool::open(folder / "spool").value();
  std::vector<Header> headers;
  for (int i = 0; i < 32; ++i) headers.push_back(some_header());
  {
    Recorder recorder(spool, system_clock());
    std::vector<std::thread> threads;
    for (const Header& header : headers) {
      threads.emplace_back([&recorder, &header] {
        auto session = recorder.open(header, {}).value();
        for (int i = 0; i < 500; ++i) session->write(EventKind::kStdout, as_bytes(fmt::format("{}\n", i)));
        if (header.session_id[0] < '8') session->finish({.exit_code = 0, .signal = ""});
      });
    }
    for (auto& thread : threads) thread.join();
  }  // the recorder writes what waits before it goes
  std::string expected;
  for (int i = 0; i < 500; ++i) expected += fmt::format("{}\n", i);
  for (const Header& header : headers) {
    const ReadBack back = read_back_file(spool.path_of(header.session_id));
    EXPECT_TRUE(back.complete);
    EXPECT_EQ(back.text(EventKind::kStdout), expected);
  }
}

// Memory of the recording that a session still has is given to no other one.
TEST(Recorder, LentMemoryHoldsOneSessionsBytes) {
  const TempFolder folder;
  Spool spool = Spool::open(folder / "spool").value();
  std::vector<Header> headers;
  for (int i = 0; i < 8; ++i) headers.push_back(some_header());
  constexpr std::size_t kBytes = 24'000'000;
  std::atomic<int> in_place = 0;
  {
    Recorder recorder(spool, system_clock());
    std::vector<std::thread> threads;
    for (const Header& header : headers) {
      threads.emplace_back([&, mine = static_cast<std::uint8_t>(header.session_id[0])] {
        const auto watch = std::make_shared<Watch>();
        auto session = recorder.open(header, Watch::callbacks(watch)).value();
        Bytes own(40'000, mine);
        for (std::size_t sent = 0; sent < kBytes;) {
          if (session->congested()) {
            std::unique_lock lock(watch->mutex);
            EXPECT_TRUE(watch->changed.wait_for(lock, 30s, [&] { return watch->drained > 0; }));
            watch->drained = 0;
          }
          const LentMemory lent = session->lend(own.size());
          std::span<std::uint8_t> place = lent.bytes.empty() ? std::span(own) : lent.bytes;
          place = place.first(std::min(place.size(), kBytes - sent));
          std::ranges::fill(place, mine);
          session->write(EventKind::kStdout, place);
          // As a session does, which sends it on.
          EXPECT_EQ(std::ranges::count(place, mine), static_cast<std::ptrdiff_t>(place.size()));
          sent += place.size();
          in_place += lent.bytes.empty() ? 0 : 1;
        }
      });
    }
    for (auto& thread : threads) thread.join();
  }
  EXPECT_GT(in_place, 1000);
  for (const Header& header : headers) {
    const ReadBack back = read_back_file(spool.path_of(header.session_id));
    EXPECT_FALSE(back.error);
    EXPECT_TRUE(back.complete);
    EXPECT_EQ(back.text(EventKind::kStdout), std::string(kBytes, header.session_id[0]));
  }
}

TEST(Recorder, BulkOutputIsHeldBackNotDropped) {
  const TempFolder folder;
  Spool spool = Spool::open(folder / "spool").value();
  Recorder recorder(spool, system_clock());
  const auto watch = std::make_shared<Watch>();
  const Header header = some_header(SessionKind::kExec);
  auto session = recorder.open(header, Watch::callbacks(watch)).value();
  // 100 MB of noise that does not compress, as fast as it is taken.
  Bytes noise(32 * 1024);
  std::uint32_t random = 7;
  for (auto& byte : noise) byte = static_cast<std::uint8_t>((random = random * 1664525 + 1013904223) >> 24);
  std::uint64_t sent = 0;
  int pauses = 0;
  const auto began = std::chrono::steady_clock::now();
  while (sent < 100'000'000) {
    if (session->congested()) {
      ++pauses;
      std::unique_lock lock(watch->mutex);
      ASSERT_TRUE(watch->changed.wait_for(lock, 30s, [&] { return watch->drained > 0; }));
      watch->drained = 0;
      continue;
    }
    session->write(EventKind::kStdout, noise);
    sent += noise.size();
  }
  session->finish({});
  ASSERT_EQ(watch->finished.wait_for(60s), std::future_status::ready);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("%.0f MB/s, paused %d times\n", static_cast<double>(sent) / 1e6 / took.count(), pauses);
  EXPECT_THAT(watch->failures, IsEmpty());
  Reader reader = Reader::open_file(spool.path_of(header.session_id)).value();
  std::uint64_t got = 0;
  for (auto event = reader.next().value(); event; event = reader.next().value()) got += event->data.size();
  EXPECT_EQ(got, sent);
}

TEST(Recorder, StopsASessionWhenTheSpoolIsFull) {
  const TempFolder folder;
  Spool spool = Spool::open(folder / "spool", 300'000).value();
  ManualClock clock;
  const auto watch = std::make_shared<Watch>();
  Recorder recorder(spool, clock);
  auto session = recorder.open(some_header(), Watch::callbacks(watch)).value();
  Bytes noise(400'000);
  std::uint32_t random = 7;
  for (auto& byte : noise) byte = static_cast<std::uint8_t>((random = random * 1664525 + 1013904223) >> 24);
  session->write(EventKind::kOutput, noise);
  {
    std::unique_lock lock(watch->mutex);
    ASSERT_TRUE(watch->changed.wait_for(lock, 30s, [&] {
      clock.advance(3s);
      return !watch->failures.empty();
    })) << "no failure came";
  }
  EXPECT_THAT(watch->failures, ElementsAre(HasSubstr("spool is full")));
  EXPECT_TRUE(session->failed());
  EXPECT_FALSE(session->congested());
  EXPECT_EQ(recorder.open(some_header(), {}).error().code, ErrorCode::kResourceExhausted);
  session->finish({});
  ASSERT_EQ(watch->finished.wait_for(30s), std::future_status::ready);
  EXPECT_THAT(spool.waiting().value(), SizeIs(1));  // what was recorded is still uploaded
}

// A full disk (Teleport issue 65895: recordings lost when the disk was full).
TEST(Recorder, SaysSoWhenTheDiskIsFull) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "disk");
  if (::mount("tmpfs", (folder / "disk").c_str(), "tmpfs", 0, "size=512k") != 0) {
    ASSERT_EQ(errno, EPERM) << std::strerror(errno);
    GTEST_SKIP() << "no right to mount";
  }
  {
    Spool spool = Spool::open(folder / "disk" / "spool").value();
    const auto watch = std::make_shared<Watch>();
    Recorder recorder(spool, system_clock());
    const Header header = some_header();
    auto session = recorder.open(header, Watch::callbacks(watch)).value();
    Bytes noise(900'000);
    std::uint32_t random = 7;
    for (auto& byte : noise) byte = static_cast<std::uint8_t>((random = random * 1664525 + 1013904223) >> 24);
    session->write(EventKind::kOutput, noise);
    session->finish({});
    ASSERT_EQ(watch->finished.wait_for(30s), std::future_status::ready);
    EXPECT_THAT(watch->failures, ElementsAre(HasSubstr("No space left")));
    const ReadBack back = read_back_file(spool.path_of(header.session_id));
    EXPECT_FALSE(back.error);
    EXPECT_GT(back.text(EventKind::kOutput).size(), 200'000U);
  }
  EXPECT_EQ(::umount((folder / "disk").c_str()), 0);
}

TEST(Spool, AnAgentThatIsKilledLeavesItsSessionsToBeUploaded) {
  const TempFolder folder;
  const Header header = some_header();
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto spool = Spool::open(folder / "spool");
    auto writer = spool->create(header, SteadyTime(1h));
    if (!writer || !writer->write(EventKind::kOutput, as_bytes("kept"), SteadyTime(1h)) || !writer->flush()) ::_exit(1);
    if (!writer->write(EventKind::kOutput, as_bytes("lost"), SteadyTime(1h))) ::_exit(1);
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  // While it lives, the folder is its own.
  EXPECT_EQ(Spool::open(folder / "spool").error().code, ErrorCode::kFailedPrecondition);
  ::kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  const auto live = folder / "spool" / (header.session_id + ".live.mezrec");
  const auto whole = std::filesystem::file_size(live);
  std::filesystem::resize_file(live, whole + 17);  // a torn tail of zeros
  // One that is no recording at all must not stop the others.
  const std::string broken = new_uuid();
  ASSERT_TRUE(write_file(folder / "spool" / (broken + ".live.mezrec"), as_bytes("MEZREC1\nnonsense")));
  ASSERT_TRUE(write_file(folder / "spool" / "../spool/notes.mezrec", as_bytes("a stranger")));
  const Spool spool = Spool::open(folder / "spool").value();
  EXPECT_THAT(spool.recovered().cut, ElementsAre(header.session_id));
  EXPECT_THAT(spool.recovered().aside, ElementsAre(broken));
  EXPECT_THAT(spool.waiting().value(), ElementsAre(header.session_id));
  EXPECT_EQ(std::filesystem::file_size(spool.path_of(header.session_id)), whole);
  EXPECT_EQ(read_back_file(spool.path_of(header.session_id)).text(EventKind::kOutput), "kept");
  EXPECT_TRUE(std::filesystem::exists(folder / "spool" / "aside" / (broken + ".mezrec")));
  for (const int fd : ready) ::close(fd);
}

}  // namespace
}  // namespace mezite::recording
