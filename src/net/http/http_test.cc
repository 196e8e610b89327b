#include <gtest/gtest.h>

#include <cstdio>

#include "crypto/tls.hh"
#include "net/http/codec.hh"
#include "net/http/http_client.hh"
#include "net/http/server.hh"
#include "net/testing.hh"
#include "net/worker_pool.hh"

namespace mezite::net::http {
namespace {

using namespace std::chrono_literals;

TEST(Path, OnlyThePlainFormIsServed) {
  EXPECT_EQ(*decode_path("/invite/a%20b"), "/invite/a b");
  for (const char* bad : {"", "x", "http://other/", "*", "/a/../b", "/a/%2e%2E/b", "/%2e", "/a%2fb", "/a%5cb", "/a\\b",
                          "/%00", "/%09", "/%0a", "/%zz", "/%4"}) {
    EXPECT_FALSE(decode_path(bad)) << bad;
  }
}

TEST(Codec, AHeaderValueCannotStartALine) {
  Response response = Response::text(200, "x");
  response.headers.add("X-Name", "a\r\nSet-Cookie: b");
  std::string out = to_text(serialize(response, Persistence::kKeepAlive, WithBody::kYes));
  EXPECT_EQ(out.find("Set-Cookie"), std::string::npos);
  EXPECT_TRUE(out.ends_with("\r\n\r\nx"));
}

// Beast's own view of it is an empty answer with status 200.
TEST(Codec, AnEndBeforeTheFirstByteIsNoAnswer) {
  ResponseParser nothing(1024, false);
  EXPECT_EQ(nothing.feed_end().error().code, ErrorCode::kUnavailable);
  ResponseParser half(1024, false);
  ASSERT_TRUE(half.feed(as_bytes("HTTP/1.1 200 OK\r\n")));
  EXPECT_FALSE(half.feed_end());
}

TEST(Router, ExactSegmentsWinAndMethodsAreNamed) {
  Router router;
  std::string hit;
  auto to = [&](const char* name) {
    return [&hit, name](Request request, Responder respond) {
      hit = std::string(name) + ":" + std::string(request.path_value("token"));
      respond(Response::text(200, ""));
    };
  };
  router.add("GET", "/invite/{token}", to("wild"));
  router.add("GET", "/invite/help", to("exact"));
  router.add("POST", "/login", to("login"));
  router.add("GET", "/static/{token...}", to("rest"));
  Response last;
  auto ask = [&](const char* method, const char* path) {
    Request request;
    request.method = method;
    request.path = path;
    hit.clear();
    router.dispatch(std::move(request), Responder([&](Response response) { last = std::move(response); }));
    return hit;
  };
  EXPECT_EQ(ask("GET", "/invite/help"), "exact:");
  EXPECT_EQ(ask("GET", "/invite/abc"), "wild:abc");
  EXPECT_EQ(ask("HEAD", "/invite/abc"), "wild:abc");
  EXPECT_EQ(ask("GET", "/invite/"), "");
  EXPECT_EQ(last.status, 404);
  EXPECT_EQ(ask("GET", "/static/a/b"), "rest:a/b");
  EXPECT_EQ(ask("GET", "/login"), "");
  EXPECT_EQ(last.status, 405);
  EXPECT_EQ(last.headers.get("allow"), "POST");
}

class HttpTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SystemTime now = system_clock().now();
    auto key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256);
    auto ca = crypto::make_x509_ca(*key, {"test", "", now - 1h, now + 1h});
    ASSERT_TRUE(ca);
    auto leaf_key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256);
    crypto::X509LeafSpec spec;
    spec.common_name = "hub";
    spec.dns_names = {"localhost"};
    spec.not_before = now - 1h;
    spec.not_after = now + 1h;
    auto leaf = crypto::issue_x509_leaf(*ca, *key, leaf_key->public_key().spki(), spec);
    ASSERT_TRUE(leaf);
    auto context = crypto::TlsContext::server({.identity = {{*leaf, *ca}, std::move(*leaf_key)}, .alpn = {"http/1.1"}});
    ASSERT_TRUE(context) << context.error().message;
    pin_ = ca->spki_sha256_hex();

    Router router;
    router.add("GET", "/hello", [](Request, Responder respond) { respond(Response::text(200, "hello")); });
    router.add("POST", "/echo", [this](Request request, Responder respond) {
      auto shared = std::make_shared<Responder>(std::move(respond));
      ASSERT_TRUE(workers_.submit([shared, body = std::move(request.body)] { (*shared)(Response::text(200, body)); }));
    });
    router.add("GET", "/big",
               [](Request, Responder respond) { respond(Response::text(200, std::string(8 << 20, 'b'))); });
    router.add("GET", "/dropped", [](Request, Responder) {});
    ServerOptions options;
    options.header_timeout = header_timeout_;
    options.body_timeout = 300ms;
    options.idle_timeout = 5s;
    options.connection_limit = 8;
    server_ = std::make_unique<Server>(
        std::move(router),
        [tls = *context] {
          auto engine = crypto::TlsEngine::accept(tls);
          return engine ? std::move(*engine) : nullptr;
        },
        options);
    auto open = [this](bool plain) {
      return shard_.call([this, plain] {
        return Listener::open(*shard_, shard_.pool(), {"127.0.0.1", 0},
                              [this, plain](Shard& on, UniqueFd fd, Address peer) {
                                (plain ? *plain_ : *server_).serve(on, std::move(fd), std::move(peer));
                              });
      });
    };
    Router plain_router;
    plain_router.add("GET", "/hello", [](Request, Responder respond) { respond(Response::text(200, "hello")); });
    plain_router.add("POST", "/echo",
                     [](Request request, Responder respond) { respond(Response::text(200, request.body)); });
    plain_router.add("GET", "/big",
                     [](Request, Responder respond) { respond(Response::text(200, std::string(8 << 20, 'b'))); });
    plain_ = std::make_unique<Server>(std::move(plain_router), nullptr, options);
    listener_ = std::move(*open(false));
    plain_listener_ = std::move(*open(true));
  }
  void TearDown() override {
    shard_.call([&] {
      listener_.reset();
      plain_listener_.reset();
    });
    workers_.stop();
    shard_.pool().stop();
  }

  std::string curl(const std::string& arguments) {
    std::string command = "curl -sk --max-time 20 " + arguments + " 2>&1";
    FILE* pipe = ::popen(command.c_str(), "r");
    std::string out;
    char buffer[4096];
    for (std::size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, n);
    ::pclose(pipe);
    return out;
  }
  std::string url(const std::string& path) { return fmt::format("https://localhost:{}{}", listener_->port(), path); }

  // What a cleartext connection answers to these bytes, until it is closed.
  std::string raw(std::string_view bytes) {
    auto connected = connect_blocking({"127.0.0.1", plain_listener_->port()}, 5s);
    EXPECT_TRUE(connected);
    testing::send_all(connected->fd.get(), bytes);
    return testing::receive(connected->fd.get());
  }

  ClientRequest get(const std::string& target) {
    ClientRequest request;
    request.host = "localhost";
    request.port = listener_->port();
    request.target = target;
    request.trust = {TrustPolicy::Mode::kCaPin, "sha256:" + pin_};
    return request;
  }

  std::chrono::milliseconds header_timeout_ = 300ms;
  WorkerPool workers_{2};
  testing::RunningShard shard_;
  std::string pin_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Server> plain_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Listener> plain_listener_;
};

TEST_F(HttpTest, CurlGetsAnswersAndTheSecurityHeaders) {
  std::string out = curl("-i " + url("/hello"));
  EXPECT_TRUE(out.starts_with("HTTP/1.1 200 OK\r\n")) << out;
  EXPECT_TRUE(out.ends_with("\r\n\r\nhello")) << out;
  for (const char* header : {"Content-Security-Policy", "X-Content-Type-Options: nosniff", "Strict-Transport-Security",
                             "Cache-Control: no-store"}) {
    EXPECT_NE(out.find(header), std::string::npos) << header;
  }
  EXPECT_EQ(curl("-I " + url("/hello")).find("hello"), std::string::npos);
  EXPECT_EQ(curl("-o /dev/null -w '%{http_code}' " + url("/nothing")), "404");
  EXPECT_EQ(curl("-o /dev/null -w '%{http_code}' -X DELETE " + url("/hello")), "405");
  EXPECT_EQ(curl("-o /dev/null -w '%{http_code}' " + url("/dropped")), "500");
  EXPECT_EQ(curl("-o /dev/null -w '%{http_code}' --path-as-is " + url("/a/../hello")), "400");
}

TEST_F(HttpTest, CurlReusesItsConnectionAndPostsBodies) {
  std::string twice = curl("-w '%{num_connects} ' " + url("/hello") + " " + url("/hello"));
  EXPECT_EQ(twice, "hello1 hello0 ");
  EXPECT_EQ(curl("-d 'a body' " + url("/echo")), "a body");
  EXPECT_EQ(curl("-H 'Transfer-Encoding: chunked' -d 'in chunks' " + url("/echo")), "in chunks");
  EXPECT_EQ(curl(url("/big") + " | wc -c"), "8388608\n");
}

TEST_F(HttpTest, BodiesAndHeadersAreBounded) {
  std::string much(2 << 20, 'x');
  EXPECT_TRUE(raw(fmt::format("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{}", much.size(), much))
                  .starts_with("HTTP/1.1 413"));
  EXPECT_TRUE(raw("GET /hello HTTP/1.1\r\nHost: x\r\nX: " + std::string(20 << 10, 'y') + "\r\n\r\n")
                  .starts_with("HTTP/1.1 431"));
}

TEST_F(HttpTest, AmbiguousRequestsAreRefused) {
  EXPECT_TRUE(raw("GET /hello HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400")) << "no Host";
  EXPECT_TRUE(raw("GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").starts_with("HTTP/1.1 400")) << "two Hosts";
  EXPECT_TRUE(raw("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
                  .starts_with("HTTP/1.1 400"))
      << "two lengths";
  EXPECT_TRUE(raw("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde")
                  .starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(raw("GET http://elsewhere/hello HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(raw("\x16\x03\x01 garbage\r\n\r\n").starts_with("HTTP/1.1 400"));
}

TEST_F(HttpTest, SlowHeadersAndBodiesEnd) {
  EXPECT_TRUE(raw("GET /hello HT").starts_with("HTTP/1.1 408"));
  EXPECT_TRUE(raw("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").starts_with("HTTP/1.1 408"));
  EXPECT_EQ(raw(""), "") << "a connection that says nothing is closed";
}

TEST_F(HttpTest, PipelinedRequestsAreAnsweredInOrder) {
  std::string out =
      raw("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
          "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntwo");
  std::size_t one = out.find("\r\n\r\none");
  EXPECT_NE(one, std::string::npos) << out;
  EXPECT_NE(out.find("\r\n\r\ntwo", one), std::string::npos) << out;
}

TEST_F(HttpTest, APeerThatAsksALotAndReadsNothingIsHeldBack) {
  auto connected = connect_blocking({"127.0.0.1", plain_listener_->port()}, 5s);
  ASSERT_TRUE(connected);
  std::string many;
  for (int i = 0; i < 100; ++i) many += "GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
  testing::send_all(connected->fd.get(), many);
  EXPECT_EQ(testing::receive(connected->fd.get(), std::size_t{100} * (8 << 20)).size(), std::size_t{100} * (8 << 20));
}

TEST_F(HttpTest, ConnectionsAreBounded) {
  std::vector<UniqueFd> held;
  for (int i = 0; i < 8; ++i)
    held.push_back(std::move(connect_blocking({"127.0.0.1", plain_listener_->port()}, 5s)->fd));
  for (const auto& fd : held) testing::send_all(fd.get(), "G");
  EXPECT_EQ(raw(""), "") << "the ninth is closed at once";
  shard_.call([&] { plain_->drain(); });
}

TEST_F(HttpTest, TheClientPinsTheCa) {
  auto answer = request(get("/hello"));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "hello");
  EXPECT_EQ(answer->ca_pin, "sha256:" + pin_);
  ClientRequest post = get("/echo");
  post.method = "POST";
  post.body = "text";
  EXPECT_EQ(request(post)->body, "text");
  EXPECT_EQ(request(get("/big"))->body.size(), 8u << 20);
  ClientRequest wrong = get("/hello");
  wrong.trust.ca_pin = std::string(64, '0');
  auto refused = request(wrong);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnauthenticated);
  ClientRequest system = get("/hello");
  system.trust = {};
  refused = request(system);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("--ca-pin"), std::string::npos) << refused.error().message;
  EXPECT_EQ(probe("localhost", listener_->port(), 5s)->ca_pin, "sha256:" + pin_);
}

TEST_F(HttpTest, TheClientSaysWhatIsWrong) {
  ClientRequest plain = get("/hello");
  plain.port = plain_listener_->port();
  auto no_tls = request(plain);
  ASSERT_FALSE(no_tls);
  EXPECT_NE(no_tls.error().message.find("3080"), std::string::npos) << no_tls.error().message;
  std::uint16_t closed_port = listener_->port();
  ClientRequest nobody = get("/hello");
  shard_.call([&] { listener_.reset(); });
  nobody.port = closed_port;
  auto refused = request(nobody);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace mezite::net::http
