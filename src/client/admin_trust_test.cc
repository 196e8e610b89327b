// Whom mezctl believes, against a TLS server that shows whatever chain it is given.
#include "client/admin_trust.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <optional>
#include <thread>

#include "base/unique_fd.hh"
#include "crypto/tls.hh"

namespace mezite::client {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// Serves one identity on a free port; or, without one, says something that is not TLS.
class Server {
 public:
  explicit Server(std::optional<crypto::TlsIdentity> identity) {
    if (identity) {
      crypto::TlsServerOptions options{.identity = std::move(*identity), .alpn = {"h2"}};
      context_ = crypto::TlsContext::server(std::move(options)).value();
    }
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_.get(), plain, sizeof(address)), 0);
    EXPECT_EQ(::listen(listener_.get(), 16), 0);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::getsockname(listener_.get(), plain, &size), 0);
    where_ = {"127.0.0.1", ntohs(address.sin_port)};
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  const net::HostPort& where() const { return where_; }

 private:
  void serve() {
    for (;;) {
      const UniqueFd peer(::accept(listener_.get(), nullptr, nullptr));
      if (!peer) return;
      if (!context_) {
        (void)::send(peer.get(), "SSH-2.0-x\r\n", 11, MSG_NOSIGNAL);
        continue;
      }
      auto engine = crypto::TlsEngine::accept(context_).value();
      std::uint8_t buffer[4096];
      for (;;) {
        const ssize_t got = ::recv(peer.get(), buffer, sizeof(buffer), 0);
        if (got <= 0) break;
        const bool good = engine->feed(BytesView(buffer, static_cast<std::size_t>(got))).has_value();
        Bytes out;
        engine->take_ciphertext(out);
        (void)::send(peer.get(), out.data(), out.size(), MSG_NOSIGNAL);
        if (!good) break;
      }
    }
  }

  std::shared_ptr<crypto::TlsContext> context_;
  UniqueFd listener_;
  net::HostPort where_;
  std::thread thread_;
};

struct Ca {
  crypto::SigningKey key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEd25519).value();
  crypto::X509Certificate certificate = crypto::make_x509_ca(key, {.common_name = "Host CA",
                                                                   .organization = "main",
                                                                   .not_before = system_clock().now() - 1h,
                                                                   .not_after = system_clock().now() + 24h})
                                            .value();
  std::string pin() const { return "sha256:" + certificate.spki_sha256_hex(); }

  crypto::TlsIdentity leaf(std::vector<std::string> uris = {}, crypto::X509Usage usage = crypto::X509Usage::kServer,
                           std::chrono::hours ends = 12h) const {
    auto leaf_key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEd25519).value();
    auto certificate_of_leaf = crypto::issue_x509_leaf(certificate, key, leaf_key.public_key().spki(),
                                                       {.common_name = "main",
                                                        .dns_names = {"main.example", "localhost"},
                                                        .uris = std::move(uris),
                                                        .not_before = system_clock().now() - 24h,
                                                        .not_after = system_clock().now() + ends,
                                                        .usage = usage})
                                   .value();
    return {.chain = {certificate_of_leaf, certificate}, .key = std::move(leaf_key)};
  }
};

class Folder {
 public:
  Folder() {
    std::string pattern = "/tmp/mezite-trust-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  KnownHubs known() const { return KnownHubs(path / "home" / "known"); }
  std::filesystem::path path;
};

TEST(AdminTrust, BelievesThePinnedCaOnly) {
  const Ca ca, other;
  const Server server(ca.leaf());
  const Folder folder;
  const auto trusted = trust_hub(server.where(), {.given_pin = ca.pin(), .ask = {}}, folder.known());
  ASSERT_TRUE(trusted) << trusted.error().message;
  EXPECT_EQ(trusted->server_name, "main.example");
  EXPECT_EQ(trusted->ca_pem, ca.certificate.to_pem());
  const auto refused = trust_hub(server.where(), {.given_pin = other.pin(), .ask = {}}, folder.known());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("not the one expected"));
  // --insecure is no way round a pin that was given.
  EXPECT_FALSE(trust_hub(server.where(), {.given_pin = other.pin(), .insecure = true, .ask = {}}, folder.known()));
  EXPECT_FALSE(trust_hub(server.where(), {.given_pin = "sha256:xyz", .ask = {}}, folder.known()));
}

TEST(AdminTrust, AsksOnceAndRemembers) {
  const Ca ca;
  const Server server(ca.leaf());
  const Folder folder;
  EXPECT_THAT(trust_hub(server.where(), {}, folder.known()).error().message, HasSubstr("not trusted yet"));
  int asked = 0;
  bool answer = false;
  const TrustQuestion question{.ask = [&](const net::HostPort&, std::string_view pin) {
    EXPECT_EQ(pin, ca.pin());
    ++asked;
    return answer;
  }};
  EXPECT_FALSE(trust_hub(server.where(), question, folder.known()));
  answer = true;
  EXPECT_TRUE(trust_hub(server.where(), question, folder.known()));
  EXPECT_TRUE(trust_hub(server.where(), question, folder.known()));
  EXPECT_EQ(asked, 2);
  struct stat info{};
  ASSERT_EQ(::stat((folder.path / "home" / "known").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  // Another CA on the same address: refused, not asked about.
  const Ca other;
  KnownHubs known = folder.known();
  ASSERT_TRUE(known.remember(server.where(), other.pin()));
  EXPECT_EQ(known.pin_of(server.where()), other.pin());
  EXPECT_THAT(trust_hub(server.where(), question, folder.known()).error().message, HasSubstr("not the one expected"));
  EXPECT_EQ(asked, 2);
}

// An agent that claims to be the hub, with the certificate that the same CA gave it.
TEST(AdminTrust, AnAgentIsNotTheHub) {
  const Ca ca;
  const Folder folder;
  const Server agent(
      ca.leaf({"spiffe://main/agent/0f0e0d0c-0b0a-4908-8706-050403020100"}, crypto::X509Usage::kServerAndClient));
  EXPECT_THAT(trust_hub(agent.where(), {.given_pin = ca.pin(), .ask = {}}, folder.known()).error().message,
              HasSubstr("certificate of an agent"));
  const Server client(ca.leaf({}, crypto::X509Usage::kClient));
  EXPECT_FALSE(trust_hub(client.where(), {.given_pin = ca.pin(), .ask = {}}, folder.known()));
}

TEST(AdminTrust, RefusesChainsThatProveNothing) {
  const Ca ca, other;
  const Folder folder;
  const auto refused = [&](crypto::TlsIdentity identity) {
    const Server server(std::move(identity));
    return !trust_hub(server.where(), {.given_pin = ca.pin(), .ask = {}}, folder.known());
  };
  EXPECT_TRUE(refused(ca.leaf({}, crypto::X509Usage::kServer, -1h)));  // expired
  crypto::TlsIdentity alone = ca.leaf();
  alone.chain.pop_back();
  EXPECT_TRUE(refused(std::move(alone)));
  // The pinned CA beside a leaf that another one signed.
  crypto::TlsIdentity mixed = other.leaf();
  mixed.chain.back() = ca.certificate;
  EXPECT_TRUE(refused(std::move(mixed)));
}

TEST(AdminTrust, SaysWhatIsThereInstead) {
  const Folder folder;
  const Server ssh(std::nullopt);
  const auto not_tls = trust_hub(ssh.where(), {.insecure = true, .ask = {}}, folder.known());
  ASSERT_FALSE(not_tls);
  EXPECT_THAT(not_tls.error().message, HasSubstr(ssh.where().text()));
  const auto nobody = trust_hub({"127.0.0.1", 1}, {.insecure = true, .ask = {}}, folder.known());
  ASSERT_FALSE(nobody);
  EXPECT_THAT(nobody.error().message, HasSubstr("127.0.0.1:1"));
}

}  // namespace
}  // namespace mezite::client
