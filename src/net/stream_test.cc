#include "net/stream.hh"

#include <gtest/gtest.h>

#include "crypto/tls.hh"
#include "net/testing.hh"

namespace mezite::net {
namespace {

using namespace std::chrono_literals;
using testing::Box;
using testing::RunningShard;
using testing::TcpPair;

// Records what happens; echoes when asked to.
class Recorder : public StreamHandler {
 public:
  explicit Recorder(Shard& on) : shard(on) {}
  void on_secured() override { secured = true; }
  void on_data(BytesView bytes) override {
    data.append(as_text(bytes));
    if (echo) stream->write(bytes);
    if (destroy_on_data) stream.reset();
    if (pause_on_data) stream->pause_reading();
    if (wanted > 0 && data.size() >= wanted) got_wanted.put(data);
  }
  void on_end() override {
    ended.put(true);
    if (close_on_end) stream->close_after_flush();
  }
  void on_writable() override { writable.put(stream->buffered()); }
  void on_closed(const Error& why) override { closed.put(why); }

  Shard& shard;
  std::unique_ptr<Stream> stream;
  std::string data;
  std::size_t wanted = 0;
  bool echo = false;
  bool destroy_on_data = false;
  bool pause_on_data = false;
  bool close_on_end = true;
  bool secured = false;
  Box<std::string> got_wanted;
  Box<bool> ended;
  Box<std::size_t> writable;
  Box<Error> closed;
};

class StreamTest : public ::testing::Test {
 protected:
  void start(Bytes already_read = {}, StreamOptions options = {}) {
    shard_.call([&] {
      recorder_.stream = std::make_unique<Stream>(*shard_, std::move(pair_.left), Address{"127.0.0.1", 1}, options);
      recorder_.stream->start(recorder_, std::move(already_read));
    });
  }
  void TearDown() override {
    shard_.call([&] { recorder_.stream.reset(); });
  }
  RunningShard shard_;
  Recorder recorder_{*shard_};
  TcpPair pair_;
};

TEST_F(StreamTest, EchoesBulkAndEndsAfterTheLastByte) {
  recorder_.echo = true;
  start(to_bytes("early "));
  Bytes bulk = testing::pattern_bytes(8 << 20);
  std::thread sender([&] {
    testing::send_all(pair_.right.get(), bulk);
    ::shutdown(pair_.right.get(), SHUT_WR);
  });
  std::string got = testing::receive(pair_.right.get());
  sender.join();
  ASSERT_EQ(got.size(), bulk.size() + 6);
  EXPECT_EQ(got.substr(0, 6), "early ");
  EXPECT_TRUE(std::ranges::equal(as_bytes(got).subspan(6), bulk));
}

TEST_F(StreamTest, TellsHighAndLowWater) {
  start({}, {.low_water = 1000, .high_water = 10'000});
  Bytes bulk(8 << 20);
  bool above = shard_.call([&] {
    recorder_.stream->write(bulk);
    return recorder_.stream->above_high_water();
  });
  EXPECT_TRUE(above);
  EXPECT_FALSE(recorder_.writable.full());
  EXPECT_EQ(testing::receive(pair_.right.get(), bulk.size()).size(), bulk.size());
  auto left = recorder_.writable.take();
  ASSERT_TRUE(left);
  EXPECT_LE(*left, 1000u);
}

TEST_F(StreamTest, PausedReadingHoldsTheSenderBack) {
  recorder_.pause_on_data = true;
  start();
  timeval patience{0, 300'000};
  ::setsockopt(pair_.right.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  std::size_t sent = 0;
  Bytes chunk(1 << 20);
  for (ssize_t n = 0; (n = ::send(pair_.right.get(), chunk.data(), chunk.size(), MSG_NOSIGNAL)) > 0;) {
    sent += static_cast<std::size_t>(n);
    ASSERT_LT(sent, 64u << 20);
  }
  EXPECT_LE(shard_.call([&] { return recorder_.data.size(); }), 64u << 10);
  shard_.call([&] {
    recorder_.pause_on_data = false;
    recorder_.wanted = sent;
    recorder_.stream->resume_reading();
  });
  EXPECT_TRUE(recorder_.got_wanted.take());
}

TEST_F(StreamTest, MayBeDestroyedInItsOwnCallback) {
  recorder_.destroy_on_data = true;
  start();
  testing::send_all(pair_.right.get(), "x");
  EXPECT_EQ(testing::receive(pair_.right.get()), "");
}

TEST_F(StreamTest, AResetIsTold) {
  start();
  testing::reset_on_close(pair_.right.get());
  pair_.right.reset();
  EXPECT_TRUE(recorder_.closed.take());
}

TEST_F(StreamTest, TheLastAnswerIsNotLostToAResetByUnreadInput) {
  start();
  shard_.call([&] { recorder_.stream->pause_reading(); });
  Bytes flood(1 << 20);
  std::thread sender([&] { testing::send_all(pair_.right.get(), flood); });
  shard_.call([&] {
    recorder_.stream->write(as_bytes("too much"));
    recorder_.stream->close_after_flush();
    recorder_.stream.reset();
  });
  EXPECT_EQ(testing::receive(pair_.right.get()), "too much");
  sender.join();
}

class TlsStreamTest : public StreamTest {
 protected:
  void SetUp() override {
    auto key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256);
    ASSERT_TRUE(key);
    SystemTime now = system_clock().now();
    auto ca = crypto::make_x509_ca(*key, {"test", "", now - 1h, now + 1h});
    ASSERT_TRUE(ca) << ca.error().message;
    pin_ = ca->spki_sha256_hex();
    auto leaf_key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256);
    crypto::X509LeafSpec spec;
    spec.common_name = "hub";
    spec.dns_names = {"localhost"};
    spec.not_before = now - 1h;
    spec.not_after = now + 1h;
    auto leaf = crypto::issue_x509_leaf(*ca, *key, leaf_key->public_key().spki(), spec);
    ASSERT_TRUE(leaf) << leaf.error().message;
    auto context = crypto::TlsContext::server({.identity = {{*leaf, *ca}, std::move(*leaf_key)}});
    ASSERT_TRUE(context) << context.error().message;
    server_ = *context;
    auto client = crypto::TlsContext::client({.trust = crypto::TlsTrust::pin(pin_)});
    ASSERT_TRUE(client);
    client_ = *client;
  }
  void start_server() {
    shard_.call([&] {
      auto engine = crypto::TlsEngine::accept(server_);
      ASSERT_TRUE(engine);
      recorder_.stream =
          std::make_unique<Stream>(*shard_, std::move(pair_.left), Address{"127.0.0.1", 1}, std::move(*engine));
      recorder_.stream->start(recorder_);
    });
  }
  std::string pin_;
  std::shared_ptr<crypto::TlsContext> server_;
  std::shared_ptr<crypto::TlsContext> client_;
};

TEST_F(TlsStreamTest, BothEndsCarryBulk) {
  recorder_.echo = true;
  start_server();
  Recorder client(*shard_);
  Bytes bulk = testing::pattern_bytes(4 << 20);
  client.wanted = bulk.size();
  shard_.call([&] {
    ASSERT_TRUE(prepare_socket(pair_.right.get()));
    auto engine = crypto::TlsEngine::connect(client_, "localhost");
    ASSERT_TRUE(engine);
    client.stream =
        std::make_unique<Stream>(*shard_, std::move(pair_.right), Address{"127.0.0.1", 2}, std::move(*engine));
    client.stream->start(client);
    client.stream->write(BytesView(bulk).first(100'000));  // before the handshake
  });
  for (std::size_t at = 100'000; at < bulk.size();) {
    std::size_t n = std::min<std::size_t>(64 << 10, bulk.size() - at);
    shard_.call([&] { client.stream->write(BytesView(bulk).subspan(at, n)); });
    at += n;
  }
  auto got = client.got_wanted.take();
  ASSERT_TRUE(got);
  EXPECT_TRUE(std::ranges::equal(as_bytes(*got), bulk));
  EXPECT_TRUE(shard_.call([&] { return client.secured && recorder_.secured; }));
  shard_.call([&] { client.stream->shutdown_write(); });
  EXPECT_TRUE(recorder_.ended.take());
  shard_.call([&] { client.stream.reset(); });
}

TEST_F(TlsStreamTest, APeerThatSpeaksNoTlsOrCutsOffIsAnError) {
  start_server();
  testing::send_all(pair_.right.get(), "GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(recorder_.closed.take());
}

TEST_F(TlsStreamTest, AHandshakeThatNeverEndsIsEnded) {
  shard_.call([&] {
    auto engine = crypto::TlsEngine::accept(server_);
    StreamOptions options;
    options.tls_handshake_timeout = 50ms;
    recorder_.stream =
        std::make_unique<Stream>(*shard_, std::move(pair_.left), Address{"127.0.0.1", 1}, std::move(*engine), options);
    recorder_.stream->start(recorder_);
  });
  auto why = recorder_.closed.take();
  ASSERT_TRUE(why);
  EXPECT_EQ(why->code, ErrorCode::kTimeout);
}

}  // namespace
}  // namespace mezite::net
