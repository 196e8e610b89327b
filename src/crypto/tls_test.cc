#include "crypto/tls.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/random.hh"

namespace mezite::crypto {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

struct Pki {
  SigningKey key = *SigningKey::generate(KeyAlgorithm::kEd25519);
  X509Certificate ca = *make_x509_ca(key, {"Host CA", "", system_clock().now() - 1h, system_clock().now() + 100h});

  TlsIdentity issue(std::string name, X509Usage usage = X509Usage::kServer,
                    SystemTime now = system_clock().now()) const {
    auto leaf_key = *SigningKey::generate(KeyAlgorithm::kEcdsaP256);
    auto leaf = *issue_x509_leaf(
        ca, key, leaf_key.public_key().spki(),
        {.common_name = name, .dns_names = {name}, .not_before = now - 1min, .not_after = now + 1h, .usage = usage});
    return {{leaf, ca}, leaf_key};
  }
  std::string pin() const { return "sha256:" + ca.spki_sha256_hex(); }
};

struct Pair {
  std::unique_ptr<TlsEngine> client, server;
  Status client_status, server_status;

  // Carries bytes both ways, `chunk` at a time, until nothing moves.
  void run(std::size_t chunk = 1 << 20) {
    bool moved = true;
    while (moved) {
      moved = carry(*client, *server, server_status, chunk);
      moved = carry(*server, *client, client_status, chunk) || moved;
    }
  }
  static bool carry(TlsEngine& from, TlsEngine& to, Status& status, std::size_t chunk) {
    Bytes bytes;
    from.take_ciphertext(bytes);
    for (std::size_t at = 0; at < bytes.size() && status; at += chunk) {
      status = to.feed(BytesView(bytes).subspan(at, std::min(chunk, bytes.size() - at)));
    }
    return !bytes.empty();
  }
};

Pair connect(TlsServerOptions server, TlsClientOptions client, std::string_view name = "hub.example") {
  Pair pair;
  pair.server = *TlsEngine::accept(*TlsContext::server(std::move(server)));
  pair.client = *TlsEngine::connect(*TlsContext::client(std::move(client)), name);
  return pair;
}

TEST(TlsTest, HandshakeDataAndClose) {
  const Pki pki;
  Pair pair = connect({.identity = pki.issue("hub.example"), .alpn = {"h2", "http/1.1"}},
                      {.trust = TlsTrust::root_set({pki.ca}), .alpn = {"http/1.1"}});
  ASSERT_TRUE(pair.client->write(as_bytes("before the handshake, ")));
  pair.run(1);  // byte by byte
  ASSERT_TRUE(pair.client->handshake_done() && pair.server->handshake_done());
  EXPECT_EQ(pair.client->version(), "TLSv1.3");
  EXPECT_EQ(pair.client->alpn(), "http/1.1");
  EXPECT_EQ(pair.server->alpn(), "http/1.1");
  ASSERT_EQ(pair.client->peer_chain().size(), 2u);
  EXPECT_EQ(pair.client->peer_chain()[0].common_name(), "hub.example");
  ASSERT_TRUE(pair.client->write(as_bytes("after it")));
  pair.run();
  Bytes got;
  EXPECT_EQ(pair.server->read(got, 1000), 30u);
  EXPECT_EQ(as_text(got), "before the handshake, after it");

  const Bytes bulk = random_bytes(3'000'000);
  ASSERT_TRUE(pair.server->write(bulk));
  pair.run(7919);
  Bytes received;
  while (*pair.client->read(received, 65536) > 0) {
  }
  EXPECT_EQ(received, bulk);

  EXPECT_FALSE(pair.client->peer_closed());
  ASSERT_TRUE(pair.server->close_notify());
  pair.run();
  EXPECT_EQ(pair.client->read(received, 10), 0u);
  EXPECT_TRUE(pair.client->peer_closed());
}

TEST(TlsTest, TruncationIsAnError) {
  const Pki pki;
  Pair pair = connect({.identity = pki.issue("hub.example")}, {.trust = TlsTrust::root_set({pki.ca})});
  pair.run();
  pair.client->feed_end();
  Bytes got;
  EXPECT_FALSE(pair.client->read(got, 10));
}

TEST(TlsTest, NameCaAndTimeAreChecked) {
  const Pki pki, other;
  const auto refused = [](Pair pair) {
    pair.run();
    EXPECT_FALSE(pair.client->handshake_done());
    return pair.client_status ? std::string() : pair.client_status.error().message;
  };
  EXPECT_THAT(
      refused(connect({.identity = pki.issue("hub.example")}, {.trust = TlsTrust::root_set({pki.ca})}, "evil.example")),
      HasSubstr("not for the name 'evil.example'"));
  EXPECT_THAT(refused(connect({.identity = pki.issue("hub.example")}, {.trust = TlsTrust::root_set({other.ca})})),
              HasSubstr("certificate"));
  EXPECT_THAT(refused(connect({.identity = pki.issue("hub.example")}, {.trust = TlsTrust::system_roots()})),
              HasSubstr("certificate"));
  ManualClock late(system_clock().now() + 2h);
  EXPECT_THAT(
      refused(connect({.identity = pki.issue("hub.example")}, {.trust = TlsTrust::root_set({pki.ca}), .clock = &late})),
      HasSubstr("expired"));
  // A client's certificate in a server's place.
  EXPECT_THAT(
      refused(connect({.identity = pki.issue("hub.example", X509Usage::kClient)}, {.trust = TlsTrust::pin(pki.pin())})),
      HasSubstr("purpose"));
}

TEST(TlsTest, PinnedCa) {
  const Pki pki, other;
  Pair good = connect({.identity = pki.issue("hub.example")}, {.trust = TlsTrust::pin(pki.pin())}, "127.0.0.1");
  good.run();
  EXPECT_TRUE(good.client->handshake_done());

  Pair unknown = connect({.identity = other.issue("hub.example")}, {.trust = TlsTrust::pin(pki.pin())});
  unknown.run();
  ASSERT_FALSE(unknown.client_status);
  EXPECT_EQ(unknown.client_status.error().code, ErrorCode::kUnauthenticated);
  EXPECT_THAT(unknown.client_status.error().message, HasSubstr(other.ca.spki_sha256_hex()));

  // The pinned CA's certificate is public: showing it behind a leaf of another CA must not help.
  TlsIdentity mixed = other.issue("hub.example");
  mixed.chain = {mixed.chain[0], other.ca, pki.ca};
  Pair forged = connect({.identity = mixed}, {.trust = TlsTrust::pin(pki.pin())});
  forged.run();
  EXPECT_FALSE(forged.client->handshake_done());

  EXPECT_FALSE(TlsContext::client({.trust = TlsTrust::pin("sha256:12")}));
}

TEST(TlsTest, OwnCheckMayRefuse) {
  const Pki pki;
  TlsTrust trust = TlsTrust::none();
  trust.also = [](std::span<const X509Certificate> chain) -> Status {
    return fail(ErrorCode::kUnauthenticated, "saw {}", chain[0].common_name());
  };
  Pair pair = connect({.identity = pki.issue("hub.example")}, {.trust = trust}, "");
  pair.run();
  ASSERT_FALSE(pair.client_status);
  EXPECT_THAT(pair.client_status.error().message, HasSubstr("saw hub.example"));
  EXPECT_FALSE(pair.client->write(as_bytes("x")));
}

TEST(TlsTest, ClientCertificates) {
  const Pki pki, other;
  using enum TlsServerOptions::ClientCertificate;
  const auto attempt = [&](TlsServerOptions::ClientCertificate mode, std::optional<TlsIdentity> identity) {
    Pair pair = connect({.identity = pki.issue("hub.example"), .client_certificate = mode, .client_roots = {pki.ca}},
                        {.trust = TlsTrust::root_set({pki.ca}), .identity = std::move(identity)});
    pair.run();
    if (!pair.server->handshake_done()) return std::string("refused");
    const auto chain = pair.server->peer_chain();
    return chain.empty() ? std::string("nobody") : chain[0].common_name();
  };
  EXPECT_EQ(attempt(kNone, std::nullopt), "nobody");
  EXPECT_EQ(attempt(kOptional, std::nullopt), "nobody");
  EXPECT_EQ(attempt(kRequired, std::nullopt), "refused");
  EXPECT_EQ(attempt(kRequired, pki.issue("agent-1", X509Usage::kClient)), "agent-1");
  EXPECT_EQ(attempt(kOptional, pki.issue("agent-1", X509Usage::kClient)), "agent-1");
  EXPECT_EQ(attempt(kOptional, other.issue("agent-1", X509Usage::kClient)), "refused");
  EXPECT_EQ(attempt(kRequired, pki.issue("agent-1", X509Usage::kServer)), "refused");
  EXPECT_EQ(attempt(kRequired, pki.issue("agent-1", X509Usage::kClient, system_clock().now() - 3h)), "refused");
}

TEST(TlsTest, CertificateIsSwappedWhileRunning) {
  const Pki pki;
  auto server = *TlsContext::server({.identity = pki.issue("old.example")});
  auto client = *TlsContext::client({.trust = TlsTrust::pin(pki.pin())});
  const auto name = [&] {
    Pair pair{*TlsEngine::connect(client, ""), *TlsEngine::accept(server), {}, {}};
    pair.run();
    return pair.client->peer_chain().at(0).common_name();
  };
  EXPECT_EQ(name(), "old.example");
  ASSERT_TRUE(server->set_identity(pki.issue("new.example")));
  EXPECT_EQ(name(), "new.example");
  EXPECT_EQ(server->certificate()->common_name(), "new.example");
  TlsIdentity mismatch = pki.issue("x");
  mismatch.key = pki.key;
  EXPECT_FALSE(server->set_identity(mismatch));
}

TEST(TlsTest, AlpnWithoutCommonProtocolIsRefused) {
  const Pki pki;
  Pair pair =
      connect({.identity = pki.issue("hub.example"), .alpn = {"h2"}}, {.trust = TlsTrust::none(), .alpn = {"ssh"}});
  pair.run();
  EXPECT_FALSE(pair.server->handshake_done());
}

TEST(TlsTest, OldVersionsAndGarbageAreRefused) {
  const Pki pki;
  Pair pair = connect({.identity = pki.issue("hub.example")}, {.trust = TlsTrust::none()});
  const auto status = pair.server->feed(as_bytes("SSH-2.0-OpenSSH_9.2p1\r\n"));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kProtocol);
  EXPECT_FALSE(pair.server->feed({}));

  auto strict = *TlsContext::server({.identity = pki.issue("hub.example"), .min_version = TlsVersion::kTls13});
  EXPECT_TRUE(TlsEngine::accept(strict));
}

TEST(TlsTest, FlippedCiphertextFailsTheSession) {
  const Pki pki;
  Pair pair = connect({.identity = pki.issue("hub.example")}, {.trust = TlsTrust::root_set({pki.ca})});
  pair.run();
  ASSERT_TRUE(pair.client->write(as_bytes("secret")));
  Bytes bytes;
  pair.client->take_ciphertext(bytes);
  bytes.back() ^= 1;
  Bytes got;
  ASSERT_TRUE(pair.server->feed(bytes));
  EXPECT_FALSE(pair.server->read(got, 100));
  EXPECT_TRUE(got.empty());
}

TEST(TlsTest, Pins) {
  const std::string hex(64, 'a');
  EXPECT_EQ(parse_pin("sha256:" + hex), hex);
  EXPECT_EQ(parse_pin(std::string(64, 'A')), hex);
  EXPECT_FALSE(parse_pin("sha1:" + hex));
  EXPECT_FALSE(parse_pin(hex.substr(1)));
  EXPECT_FALSE(parse_pin(""));
}

}  // namespace
}  // namespace mezite::crypto
