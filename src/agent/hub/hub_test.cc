// Pins, the identity on disk, tokens, back-off.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "agent/hub/control.hh"
#include "agent/hub/hub_tls.hh"
#include "agent/hub/identity.hh"
#include "agent/join.hh"
#include "agent/testing.hh"

namespace mezite::agent {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// A hub's CAs, and what it issues.
struct Authority {
  ssh::PrivateKey ssh_ca = ssh::PrivateKey::generate(ssh::KeyType::kEd25519).value();
  crypto::SigningKey key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEd25519).value();
  SystemTime start = system_clock().now() - std::chrono::hours(1);
  crypto::X509Certificate ca =
      crypto::make_x509_ca(
          key, {.common_name = "Host CA", .not_before = start, .not_after = start + std::chrono::hours(100)})
          .value();

  crypto::X509Certificate leaf(const crypto::SigningKey& subject, crypto::X509Usage usage,
                               std::chrono::hours life) const {
    crypto::X509LeafSpec spec{.common_name = "leaf",
                              .dns_names = {"test.mezite"},
                              .not_before = start,
                              .not_after = start + life,
                              .usage = usage};
    return crypto::issue_x509_leaf(ca, key, subject.public_key().spki(), spec).value();
  }
  Result<AgentIdentity> identity(const AgentKeys& keys) const {
    ssh::CertificateRequest request{.public_key = keys.host_key.public_key(),
                                    .type = ssh::CertificateType::kHost,
                                    .key_id = "node-1",
                                    .principals = {"node-1"},
                                    .valid_after = start,
                                    .valid_before = start + std::chrono::hours(60)};
    return make_identity(
        "node-1", "web-01", "test.mezite", keys,
        {.ssh_host_certificate = ssh::sign_certificate(request, ssh_ca)->to_text(),
         .x509_pem = leaf(keys.tls_key, crypto::X509Usage::kClient, std::chrono::hours(30)).to_pem() + ca.to_pem(),
         .trust = {.user_cas = {ssh_ca.public_key().to_text()},
                   .host_cas = {ssh_ca.public_key().to_text()},
                   .host_cas_pem = {ca.to_pem()}}});
  }
};

TEST(Pin, OfTheCaInTheChainLetsTheHubBeTrusted) {
  Authority authority;
  crypto::SigningKey key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256).value();
  std::vector<crypto::X509Certificate> chain{authority.leaf(key, crypto::X509Usage::kServer, std::chrono::hours(9)),
                                             authority.ca};
  SystemTime now = system_clock().now();
  Result<PinnedHub> pinned = pin_hub(chain, {authority.ca.spki_sha256_hex()}, now);
  ASSERT_TRUE(pinned) << pinned.error().message;
  EXPECT_EQ(pinned->server_name, "test.mezite");
  EXPECT_EQ(pinned->ca_pem, authority.ca.to_pem());

  // T4: a pin that is not the CA's any more is refused in words, with what to do.
  pinned = pin_hub(chain, {std::string(64, '0')}, now);
  ASSERT_FALSE(pinned);
  EXPECT_THAT(pinned.error().message, AllOf(HasSubstr("pin"), HasSubstr("sha256:" + authority.ca.spki_sha256_hex()),
                                            HasSubstr("delete MEZITE_DATA_DIR")));
  // The token's pin and MEZITE_CA_PIN must both be right.
  EXPECT_FALSE(pin_hub(chain, {authority.ca.spki_sha256_hex(), std::string(64, '0')}, now));
  EXPECT_FALSE(pin_hub(chain, {}, now));
}

TEST(Pin, OfAnUninvolvedCaOrAnAgentsCertificateDoesNot) {
  Authority authority;
  Authority other;
  crypto::SigningKey key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256).value();
  SystemTime now = system_clock().now();
  // The pinned CA is in the chain, but did not sign the leaf.
  std::vector<crypto::X509Certificate> mixed{other.leaf(key, crypto::X509Usage::kServer, std::chrono::hours(9)),
                                             other.ca, authority.ca};
  EXPECT_FALSE(pin_hub(mixed, {authority.ca.spki_sha256_hex()}, now));
  // An agent's certificate is of the same CA, and is no server's.
  std::vector<crypto::X509Certificate> agent{authority.leaf(key, crypto::X509Usage::kClient, std::chrono::hours(9)),
                                             authority.ca};
  EXPECT_FALSE(pin_hub(agent, {authority.ca.spki_sha256_hex()}, now));
  // The leaf's own key is no CA's pin.
  std::vector<crypto::X509Certificate> chain{authority.leaf(key, crypto::X509Usage::kServer, std::chrono::hours(9)),
                                             authority.ca};
  EXPECT_FALSE(pin_hub(chain, {chain[0].spki_sha256_hex()}, now));
}

TEST(Pin, AnAddressThatDoesNotAnswerIsNamed) {
  auto chain = hub_chain({"127.0.0.1", 1}, std::chrono::seconds(5));
  ASSERT_FALSE(chain);
  EXPECT_THAT(chain.error().message, AllOf(HasSubstr("127.0.0.1:1"), HasSubstr("refused")));
}

TEST(Token, HoldsThePin) {
  std::string pin(64, 'a');
  EXPECT_EQ(pin_of_token(std::string(43, 'A') + "." + pin).value(), pin);
  for (std::string token :
       {std::string("rubbish"), std::string("x.y.z"), std::string(5000, 'A'), std::string(43, 'A') + ".", "." + pin}) {
    Result<std::string> refused = pin_of_token(token);
    ASSERT_FALSE(refused) << token;
    EXPECT_THAT(refused.error().message, HasSubstr("mezctl tokens create"));
    EXPECT_THAT(refused.error().message, testing::Not(HasSubstr(token.substr(0, 20)))) << "it might be a secret";
  }
}

TEST(IdentityFolder, KeepsAllOrNothing) {
  Authority authority;
  AgentKeys keys = AgentKeys::generate().value();
  Result<AgentIdentity> identity = authority.identity(keys);
  ASSERT_TRUE(identity) << identity.error().message;
  ScratchFolder scratch;
  IdentityFolder folder(scratch / "agent");
  EXPECT_FALSE(folder.load().value());
  ASSERT_TRUE(folder.create(*identity));
  auto loaded = folder.load();
  ASSERT_TRUE(loaded) << loaded.error().message;
  ASSERT_TRUE(*loaded);
  EXPECT_EQ((*loaded)->node_id, "node-1");
  EXPECT_EQ((*loaded)->trust, identity->trust);
  EXPECT_EQ((*loaded)->host_certificate, identity->host_certificate);
  EXPECT_EQ((*loaded)->keys.host_key.public_key(), keys.host_key.public_key());
  for (const char* secret : {"x509.key", "ssh_host_ed25519_key"}) {
    struct stat info{};
    ASSERT_EQ(::stat((scratch / "agent" / secret).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u) << secret;
  }
  // What operators look at: R2.
  Ran dates = run("openssl x509 -in " + (scratch / "agent/x509.pem").string() + " -noout -dates");
  EXPECT_THAT(dates.out, HasSubstr("notAfter="));
  Ran listing = run("ssh-keygen -L -f " + (scratch / "agent/ssh_host_ed25519_key-cert.pub").string());
  EXPECT_THAT(listing.out, HasSubstr("host certificate"));

  std::filesystem::remove(scratch / "agent/trust.json");
  loaded = folder.load();
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message, AllOf(HasSubstr("trust.json"), HasSubstr("join again with a fresh token")));
}

TEST(IdentityFolder, RenewsAtTwoThirdsOfTheShorterLife) {
  Authority authority;
  AgentIdentity identity = authority.identity(AgentKeys::generate().value()).value();
  EXPECT_EQ(to_unix_seconds(identity.renew_at().value()), to_unix_seconds(authority.start + std::chrono::hours(20)));
}

TEST(IdentityFolder, CertificatesOfOtherKeysAreRefused) {
  Authority authority;
  AgentIdentity one = authority.identity(AgentKeys::generate().value()).value();
  AgentKeys others = AgentKeys::generate().value();
  EXPECT_FALSE(make_identity(
      "node-1", "web-01", "c", others,
      {.ssh_host_certificate = one.host_certificate.to_text(), .x509_pem = one.x509_pem, .trust = one.trust}));
}

TEST(Reconnect, DelayGrowsWithJitterAndIsBounded) {
  using std::chrono::milliseconds;
  for (std::uint64_t random : {std::uint64_t{0}, std::uint64_t{12345}, ~std::uint64_t{0}}) {
    EXPECT_GE(reconnect_delay(1, random), milliseconds(100));
    EXPECT_LE(reconnect_delay(1, random), milliseconds(200));
    EXPECT_LE(reconnect_delay(4, random), milliseconds(1600));
    EXPECT_GE(reconnect_delay(1000, random), milliseconds(10'000));
    EXPECT_LE(reconnect_delay(1000, random), milliseconds(20'000));
  }
}

}  // namespace
}  // namespace mezite::agent
