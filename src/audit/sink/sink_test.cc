#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>

#include <deque>
#include <filesystem>
#include <mutex>

#include "audit/sink/file_sink.hh"
#include "audit/sink/public_address.hh"
#include "audit/sink/shipper.hh"
#include "audit/sink/syslog_sink.hh"
#include "audit/sink/webhook_sink.hh"
#include "base/file.hh"
#include "store/schema.hh"

namespace mezite::audit {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Sequences = std::vector<std::int64_t>;

// What a receiver got, and what it is to do next.
struct Receiver {
  std::mutex mutex;
  Sequences got;
  std::deque<Error> errors;  // one for each try to come
  std::atomic<bool> down{false};
  std::size_t most_at_once = 1000;
  bool takes_before_it_fails = false;
  std::atomic<int> calls{0};
};

class FakeSink final : public Sink {
 public:
  explicit FakeSink(Receiver& receiver) : receiver_(receiver) {}
  const char* name() const override { return "fake"; }
  std::string target() const override { return "memory"; }
  Status deliver(std::span<const StoredEvent> events, const StopFlag&) override {
    std::lock_guard lock(receiver_.mutex);
    ++receiver_.calls;
    if (receiver_.down) return fail(ErrorCode::kUnavailable, "down");
    if (events.size() > receiver_.most_at_once) return fail(ErrorCode::kResourceExhausted, "too many");
    bool fails = !receiver_.errors.empty();
    if (!fails || receiver_.takes_before_it_fails) {
      for (const StoredEvent& event : events) receiver_.got.push_back(event.sequence);
    }
    if (!fails) return {};
    Error error = receiver_.errors.front();
    receiver_.errors.pop_front();
    return std::unexpected(error);
  }

 private:
  Receiver& receiver_;
};

class SinkTest : public ::testing::Test {
 protected:
  SinkTest() {
    char name[] = "/tmp/mezite-sink-XXXXXX";
    folder_ = ::mkdtemp(name);
    db_ = store::Database::open({.path = folder_ / "mezhub.db", .migrations = store::schema()}).value();
    log_ = AuditLog::open(*db_, {.cluster_name = "c", .hmac_key = {}, .previous_hmac_keys = {}}).value();
  }
  ~SinkTest() override {
    shipper_.reset();
    log_.reset();
    db_.reset();
    fs::remove_all(folder_);
  }
  void append(int count) {
    std::vector<Event> events;
    for (int i = 0; i < count; ++i) events.push_back(make_event(EventKind::kUserLogin));
    ASSERT_TRUE(log_->append(events));
  }
  void start(const Clock& clock = system_clock()) {
    shipper_ = Shipper::start(*log_, *db_, std::make_unique<FakeSink>(receiver_), clock).value();
  }
  void await_delivered(std::int64_t sequence, std::chrono::seconds patience = std::chrono::seconds(20)) {
    ASSERT_TRUE(shipper_->await_delivered(sequence, patience)) << shipper_->status().delivered_sequence;
  }
  // The event that tells of the failure comes behind those that the sink refused.
  void await_failure(std::int64_t refused) {
    const SteadyTime limit = system_clock().steady() + std::chrono::seconds(20);
    while (log_->await_beyond(refused, std::chrono::seconds(1)) <= refused && system_clock().steady() < limit) {
    }
    ASSERT_GT(shipper_->status().failures, 0);
  }
  static Sequences up_to(std::int64_t last) {
    Sequences all;
    for (std::int64_t i = 1; i <= last; ++i) all.push_back(i);
    return all;
  }

  fs::path folder_;
  std::unique_ptr<store::Database> db_;
  std::unique_ptr<AuditLog> log_;
  Receiver receiver_;
  std::unique_ptr<Shipper> shipper_;
};

TEST_F(SinkTest, EverythingInOrderAndOnFromWhereItWas) {
  append(1200);
  start();
  await_delivered(1200);
  EXPECT_EQ(receiver_.got, up_to(1200));
  shipper_.reset();
  append(5);
  start();
  await_delivered(1205);
  EXPECT_EQ(receiver_.got, up_to(1205)) << "nothing twice, nothing left out";
  EXPECT_EQ(shipper_->status().lag.count(), 0);
  append(1);
  await_delivered(1206);
}

TEST_F(SinkTest, ADayOfEventsIsCaughtUpWithInOrder) {
  constexpr std::int64_t kSecondsOfDay = 86'400;
  ManualClock clock;
  receiver_.down = true;
  for (std::int64_t second = 0; second < kSecondsOfDay; second += 600) {
    std::vector<Event> events;
    for (int i = 0; i < 600; ++i) {
      events.push_back(make_event(EventKind::kUserLogin, clock));
      clock.advance(std::chrono::seconds(1));
    }
    ASSERT_TRUE(log_->append(events));
    if (second > 0) continue;
    start(clock);
    await_failure(600);
  }
  receiver_.down = false;
  const SteadyTime up = system_clock().steady();
  // That it fails, that it works again and the checkpoints are events as well.
  await_delivered(kSecondsOfDay + 2, std::chrono::seconds(120));
  const std::int64_t last = log_->last_sequence();
  await_delivered(last);
  const std::lock_guard lock(receiver_.mutex);
  ASSERT_EQ(receiver_.got.size(), static_cast<std::size_t>(last));
  EXPECT_TRUE(receiver_.got == up_to(last)) << "in order, from the first";
  EXPECT_EQ(shipper_->status().failures, 0);
  RecordProperty("seconds_to_catch_up",
                 std::to_string(std::chrono::duration<double>(system_clock().steady() - up).count()));
}

TEST_F(SinkTest, AFailingSinkIsToldOfOnceAndCatchesUp) {
  receiver_.errors = {Error{ErrorCode::kUnavailable, "down \x1b[2J"}};
  append(3);
  start();
  // The refusal itself, and the recovery, are events that follow.
  await_delivered(5);
  EXPECT_EQ(receiver_.got, up_to(5));
  auto failed = log_->list({.type = "audit.sink.failed"}).value();
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_THAT(failed[0].json, HasSubstr(R"("error_message":"down \\x1b[2J")"));
  EXPECT_EQ(log_->list({.type = "audit.sink.recovered"})->size(), 1u);
  EXPECT_EQ(shipper_->status().failures, 0);
}

TEST_F(SinkTest, ALostReceiptMeansAgain) {
  receiver_.errors = {Error{ErrorCode::kTimeout, "no answer"}};
  receiver_.takes_before_it_fails = true;
  append(2);
  start();
  await_delivered(4);
  EXPECT_EQ(Sequences(receiver_.got.begin(), receiver_.got.begin() + 4), (Sequences{1, 2, 1, 2}));
}

TEST_F(SinkTest, ASmallerBatchWhenItIsTooMuch) {
  receiver_.most_at_once = 7;
  append(100);
  start();
  await_delivered(100);
  EXPECT_EQ(receiver_.got, up_to(100));
  EXPECT_TRUE(log_->list({.type = "audit.sink.failed"})->empty());
}

TEST_F(SinkTest, StatusSaysHowFarBehindItIs) {
  for (int i = 0; i < 50; ++i) receiver_.errors.push_back({ErrorCode::kUnavailable, "down"});
  append(10);
  start();
  await_failure(10);
  SinkStatus status = shipper_->status();
  EXPECT_EQ(status.delivered_sequence, 0);
  EXPECT_GE(status.last_sequence, 10);
  EXPECT_GT(status.lag.count(), 0);
  EXPECT_EQ(status.last_error, "down");
}

TEST(SinkDelay, GrowsWithJitterAndHasAnEnd) {
  for (std::uint64_t random : {std::uint64_t{0}, std::uint64_t{123456789}, ~std::uint64_t{0}}) {
    EXPECT_GE(sink_delay(1, random), std::chrono::milliseconds(500));
    EXPECT_LE(sink_delay(1, random), std::chrono::milliseconds(1000));
    EXPECT_GE(sink_delay(4, random), std::chrono::milliseconds(4000));
    EXPECT_LE(sink_delay(1'000'000, random), std::chrono::minutes(5));
    EXPECT_GE(sink_delay(1'000'000, random), std::chrono::seconds(150));
  }
}

StoredEvent stored(std::int64_t sequence, EventKind kind = EventKind::kUserLogin) {
  return {.sequence = sequence, .timestamp_ms = 1'700'000'000'123, .json = to_canonical_json(make_event(kind))};
}

class FileSinkTest : public ::testing::Test {
 protected:
  FileSinkTest() {
    char name[] = "/tmp/mezite-sink-XXXXXX";
    folder_ = ::mkdtemp(name);
    path_ = folder_ / "audit.jsonl";
  }
  ~FileSinkTest() override { fs::remove_all(folder_); }
  Status deliver(FileSink& sink, std::int64_t sequence) {
    StoredEvent event = stored(sequence);
    return sink.deliver(std::span(&event, 1), stop_);
  }
  std::size_t lines(const fs::path& path) {
    Bytes content = read_file(path).value();
    return static_cast<std::size_t>(std::ranges::count(content, '\n'));
  }
  fs::path folder_, path_;
  StopFlag stop_{false};
};

TEST_F(FileSinkTest, OneObjectALineAndSafeToRotate) {
  FileSink sink(path_);
  ASSERT_TRUE(deliver(sink, 1));
  ASSERT_TRUE(deliver(sink, 2));
  EXPECT_EQ(lines(path_), 2u);
  EXPECT_THAT(std::string(as_text(read_file(path_).value())), HasSubstr(",\"sequence\":2}\n"));
  fs::rename(path_, folder_ / "audit.jsonl.1");  // logrotate
  ASSERT_TRUE(deliver(sink, 3));
  EXPECT_EQ(lines(path_), 1u);
  EXPECT_EQ(lines(folder_ / "audit.jsonl.1"), 2u);
  fs::resize_file(path_, 0);  // logrotate with copytruncate
  ASSERT_TRUE(deliver(sink, 4));
  EXPECT_EQ(lines(path_), 1u);
  EXPECT_EQ(read_file(path_)->at(0), '{') << "no hole in front";
  fs::remove(path_);
  ASSERT_TRUE(deliver(sink, 5));
  EXPECT_EQ(lines(path_), 1u);
}

TEST_F(FileSinkTest, ATornLineIsTakenAway) {
  ASSERT_TRUE(write_file(path_, as_bytes("{\"a\":1}\n{\"half")));
  FileSink sink(path_);
  ASSERT_TRUE(deliver(sink, 1));
  std::string content(as_text(read_file(path_).value()));
  EXPECT_EQ(content.find("half"), std::string::npos);
  EXPECT_EQ(content.find("{\"a\":1}\n{\"client_ip\""), 0u);
}

TEST_F(FileSinkTest, WhatIsNoPlainFileIsRefused) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  FileSink fifo(path_);
  EXPECT_FALSE(deliver(fifo, 1));
  FileSink folder(folder_);
  EXPECT_FALSE(deliver(folder, 1));
  FileSink device("/dev/full");
  EXPECT_FALSE(deliver(device, 1));
  FileSink nowhere(folder_ / "none" / "audit.jsonl");
  EXPECT_FALSE(deliver(nowhere, 1));
}

bool is_public(const char* text) {
  sockaddr_storage storage{};
  if (auto* v4 = reinterpret_cast<sockaddr_in*>(&storage); ::inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
  } else if (auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage); ::inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
  }
  return is_public_address(reinterpret_cast<const sockaddr&>(storage));
}

// Webhooks that lead inside: SSRF to metadata services and neighbours.
TEST(PublicAddress, OnlyTheInternetAtLarge) {
  for (const char* text : {"8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "192.167.1.1", "100.63.0.1", "223.255.1.1",
                           "2606:4700::1111", "2a00::1", "::ffff:8.8.8.8", "2002:808:808::1"}) {
    EXPECT_TRUE(is_public(text)) << text;
  }
  for (const char* text : {"0.0.0.0",
                           "0.1.2.3",
                           "10.1.2.3",
                           "100.64.0.1",
                           "100.127.255.255",
                           "127.0.0.1",
                           "127.9.9.9",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.0.1",
                           "192.0.2.1",
                           "192.168.0.1",
                           "198.18.0.1",
                           "198.19.255.255",
                           "203.0.113.9",
                           "224.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "fe80::1",
                           "fc00::1",
                           "fd12::1",
                           "ff02::1",
                           "::ffff:127.0.0.1",
                           "::ffff:10.0.0.1",
                           "::ffff:169.254.169.254",
                           "64:ff9b::7f00:1",
                           "2002:7f00:1::1",
                           "2002:a9fe:a9fe::1",
                           "2001:db8::1",
                           "2001::1",
                           "::127.0.0.1",
                           "fec0::1"}) {
    EXPECT_FALSE(is_public(text)) << text;
  }
}

TEST(WebhookUrl, Parsed) {
  auto url = parse_webhook_url("https://siem.example:8443/hooks/a?b=c#d").value();
  EXPECT_EQ(url.target.text(), "siem.example:8443");
  EXPECT_EQ(url.host_header, "siem.example:8443");
  EXPECT_EQ(url.path, "/hooks/a?b=c");
  EXPECT_EQ(parse_webhook_url("https://siem.example")->path, "/");
  EXPECT_EQ(parse_webhook_url("https://siem.example")->target.port, 443);
  EXPECT_EQ(parse_webhook_url("https://siem.example?x")->path, "/?x");
  EXPECT_EQ(parse_webhook_url("https://[2606:4700::1]:9/")->target.host, "2606:4700::1");
  for (const char* bad : {"http://a/", "https://", "https:///x", "https://u:p@a/", "https://a:99999/", "https://:443/",
                          "ftp://a", "a", ""}) {
    EXPECT_FALSE(parse_webhook_url(bad)) << bad;
  }
}

TEST(WebhookAnswer, Status) {
  EXPECT_EQ(status_of_answer("HTTP/1.1 204 No Content\r\n\r\n"), 204);
  EXPECT_EQ(status_of_answer("HTTP/1.0 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n"), 302);
  for (const char* bad : {"", "HTTP/1.1", "HTTP/2 200 OK", "SSH-2.0-x", "HTTP/1.1 2x0 OK", "HTTP/1.1-200-OK"}) {
    EXPECT_EQ(status_of_answer(bad), 0) << bad;
  }
}

TEST(WebhookSignature, IsAsDocumented) {
  // printf '1700000000.{}' | openssl dgst -sha256 -hmac 'a secret of sixteen'
  auto expected = crypto::hmac_sha256(as_bytes("a secret of sixteen"), as_bytes("1700000000.{}"));
  EXPECT_EQ(webhook_signature(Secret(std::string_view("a secret of sixteen")), 1'700'000'000, "{}"),
            "t=1700000000,v1=" + to_hex(expected));
}

TEST(SyslogFrame, IsRfc5424) {
  StoredEvent event = stored(7, EventKind::kAccessDenied);
  std::string frame = syslog_frame(event, "hub-1", 42);
  auto space = frame.find(' ');
  EXPECT_EQ(std::to_string(frame.size() - space - 1), frame.substr(0, space));
  EXPECT_EQ(frame.find("<108>1 2023-11-14T22:13:20.123Z hub-1 mezhub 42 T4000W - \xef\xbb\xbf{\"client_ip\""),
            space + 1);
  EXPECT_THAT(syslog_frame(stored(1), "h", 1), HasSubstr("<110>1 "));
}

}  // namespace
}  // namespace mezite::audit
