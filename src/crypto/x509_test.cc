#include "crypto/x509.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/file.hh"

namespace mezite::crypto {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

const SystemTime kNow = system_clock().now();

struct Pki {
  SigningKey ca_key;
  X509Certificate ca;
  SigningKey leaf_key;
  X509Certificate leaf;
};

Pki make_pki(KeyAlgorithm algorithm, X509Usage usage = X509Usage::kServer) {
  auto ca_key = *SigningKey::generate(algorithm, 2048);
  auto ca = *make_x509_ca(ca_key, {"Host CA", "example", kNow - 1h, kNow + 24h * 365});
  auto leaf_key = *SigningKey::generate(KeyAlgorithm::kEcdsaP256);
  auto leaf = *issue_x509_leaf(ca, ca_key, leaf_key.public_key().spki(),
                               {.common_name = "hub",
                                .organization = "example",
                                .dns_names = {"localhost", "hub.example"},
                                .ip_addresses = {"127.0.0.1", "::1"},
                                .uris = {"spiffe://example/agent/1"},
                                .not_before = kNow - 1min,
                                .not_after = kNow + 1h,
                                .usage = usage});
  return {ca_key, ca, leaf_key, leaf};
}

TEST(X509Test, IssuesWhatItSays) {
  const Pki pki = make_pki(KeyAlgorithm::kEd25519);
  EXPECT_TRUE(pki.ca.is_ca());
  EXPECT_FALSE(pki.leaf.is_ca());
  EXPECT_EQ(pki.leaf.common_name(), "hub");
  EXPECT_EQ(pki.leaf.subject(), "O = example, CN = hub");
  EXPECT_EQ(pki.leaf.issuer(), pki.ca.subject());
  EXPECT_THAT(pki.leaf.dns_names(), ElementsAre("localhost", "hub.example"));
  EXPECT_THAT(pki.leaf.ip_addresses(), ElementsAre("127.0.0.1", "::1"));
  EXPECT_THAT(pki.leaf.uris(), ElementsAre("spiffe://example/agent/1"));
  EXPECT_EQ(to_unix_seconds(pki.leaf.not_after()), to_unix_seconds(kNow + 1h));
  EXPECT_EQ(to_unix_seconds(pki.leaf.not_before()), to_unix_seconds(kNow - 1min));
  EXPECT_TRUE(pki.leaf.is_signed_by(pki.ca));
  EXPECT_FALSE(pki.ca.is_signed_by(pki.leaf));
  EXPECT_EQ(pki.leaf.spki_sha256_hex(), pki.leaf_key.public_key().spki_sha256_hex());
  EXPECT_EQ(pki.leaf.serial_hex().size(), 32u);
  EXPECT_TRUE(pki.leaf.matches_host("LOCALHOST"));
  EXPECT_TRUE(pki.leaf.matches_host("127.0.0.1"));
  EXPECT_TRUE(pki.leaf.matches_host("::1"));
  EXPECT_FALSE(pki.leaf.matches_host("hub"));  // the common name is not a host name
  EXPECT_FALSE(pki.leaf.matches_host("127.0.0.2"));
  EXPECT_FALSE(pki.leaf.matches_host(""));
  const auto again = X509Certificate::all_from_pem(to_pem(std::vector{pki.leaf, pki.ca}));
  ASSERT_TRUE(again);
  ASSERT_EQ(again->size(), 2u);
  EXPECT_EQ((*again)[0].to_der(), pki.leaf.to_der());
  EXPECT_EQ(X509Certificate::from_der(pki.ca.to_der())->to_der(), pki.ca.to_der());
}

TEST(X509Test, ChainsAreVerified) {
  const Pki pki = make_pki(KeyAlgorithm::kEcdsaP256);
  const Pki other = make_pki(KeyAlgorithm::kEcdsaP256);
  const std::vector chain{pki.leaf};
  const std::vector roots{pki.ca};
  EXPECT_TRUE(verify_x509_chain(chain, roots, kNow, X509Usage::kServer));
  EXPECT_FALSE(verify_x509_chain(chain, std::vector{other.ca}, kNow, X509Usage::kServer));
  EXPECT_FALSE(verify_x509_chain(chain, {}, kNow, X509Usage::kServer));
  EXPECT_FALSE(verify_x509_chain({}, roots, kNow, X509Usage::kServer));
  EXPECT_FALSE(verify_x509_chain(chain, roots, kNow, X509Usage::kClient));
  const auto expired = verify_x509_chain(chain, roots, kNow + 2h, X509Usage::kServer);
  ASSERT_FALSE(expired);
  EXPECT_THAT(expired.error().message, HasSubstr("expired"));
  EXPECT_FALSE(verify_x509_chain(chain, roots, kNow - 1h, X509Usage::kServer));
  // A leaf can't sign: path length 0 and CA:FALSE both say so.
  const auto key = *SigningKey::generate(KeyAlgorithm::kEd25519);
  const auto below = issue_x509_leaf(pki.leaf, pki.leaf_key, key.public_key().spki(),
                                     {.common_name = "evil", .not_before = kNow - 1min, .not_after = kNow + 1h});
  ASSERT_TRUE(below);
  EXPECT_FALSE(verify_x509_chain(std::vector{*below, pki.leaf}, roots, kNow, X509Usage::kServer));
  const Pki both = make_pki(KeyAlgorithm::kEd25519, X509Usage::kServerAndClient);
  EXPECT_TRUE(verify_x509_chain(std::vector{both.leaf}, std::vector{both.ca}, kNow, X509Usage::kServerAndClient));
}

TEST(X509Test, BadNamesAreRefused) {
  const Pki pki = make_pki(KeyAlgorithm::kEd25519);
  const auto issue = [&](X509LeafSpec spec) {
    spec.not_before = kNow;
    spec.not_after = kNow + 1h;
    return issue_x509_leaf(pki.ca, pki.ca_key, pki.leaf_key.public_key().spki(), spec).has_value();
  };
  EXPECT_TRUE(issue({.common_name = "ok"}));
  EXPECT_FALSE(issue({.common_name = ""}));
  EXPECT_FALSE(issue({.common_name = "a\nb"}));
  EXPECT_FALSE(issue({.common_name = std::string(65, 'a')}));
  EXPECT_FALSE(issue({.common_name = "x", .dns_names = {"a,DNS:evil"}}));
  EXPECT_FALSE(issue({.common_name = "x", .dns_names = {std::string("a\0b", 3)}}));
  EXPECT_FALSE(issue({.common_name = "x", .dns_names = {""}}));
  EXPECT_FALSE(issue({.common_name = "x", .ip_addresses = {"1.2.3"}}));
  EXPECT_FALSE(issue({.common_name = "x", .uris = {"no uri"}}));
  EXPECT_FALSE(issue_x509_leaf(pki.ca, pki.leaf_key, pki.leaf_key.public_key().spki(),
                               {.common_name = "x", .not_before = kNow, .not_after = kNow + 1h}));
  EXPECT_FALSE(issue_x509_leaf(pki.ca, pki.ca_key, pki.leaf_key.public_key().spki(),
                               {.common_name = "x", .not_before = kNow, .not_after = kNow}));
}

TEST(X509Test, GarbageIsAnError) {
  EXPECT_FALSE(X509Certificate::from_pem(""));
  EXPECT_FALSE(X509Certificate::from_pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
  EXPECT_FALSE(X509Certificate::from_der({}));
  const Pki pki = make_pki(KeyAlgorithm::kEd25519);
  EXPECT_FALSE(X509Certificate::from_pem(pki.ca.to_pem() + "-----BEGIN CERTIFICATE-----\nAAAA\n"));
  Bytes der = pki.ca.to_der();
  der.push_back(0);
  EXPECT_FALSE(X509Certificate::from_der(der));
}

// The openssl program agrees, for each kind of CA key.
class X509WithOpensslTest : public testing::TestWithParam<KeyAlgorithm> {};

TEST_P(X509WithOpensslTest, Verifies) {
  const Pki pki = make_pki(GetParam());
  std::string folder = std::filesystem::temp_directory_path() / "mezite-x509-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  ASSERT_TRUE(write_file(folder + "/ca.pem", as_bytes(pki.ca.to_pem())));
  ASSERT_TRUE(write_file(folder + "/leaf.pem", as_bytes(pki.leaf.to_pem())));
  const std::string command = "openssl verify -x509_strict -purpose sslserver -verify_hostname hub.example -CAfile " +
                              folder + "/ca.pem " + folder + "/leaf.pem > " + folder + "/out 2>&1";
  const int status = ::system(command.c_str());
  const std::string output = to_text(*read_file(folder + "/out"));
  EXPECT_EQ(status, 0) << output;
  std::filesystem::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(All, X509WithOpensslTest,
                         testing::Values(KeyAlgorithm::kEd25519, KeyAlgorithm::kEcdsaP256, KeyAlgorithm::kEcdsaP384,
                                         KeyAlgorithm::kRsa));

}  // namespace
}  // namespace mezite::crypto
