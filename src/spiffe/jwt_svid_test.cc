#include "spiffe/jwt_svid.hh"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/text.hh"
#include "crypto/derived_key.hh"
#include "crypto/hash.hh"
#include "spiffe/bundle.hh"

namespace mezite::spiffe {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

crypto::SigningKey new_key(crypto::KeyAlgorithm algorithm = crypto::KeyAlgorithm::kEcdsaP256) {
  return *crypto::SigningKey::generate(algorithm);
}

class JwtSvidTest : public ::testing::Test {
 protected:
  std::string token(const JwtClaims& claims) {
    auto made = sign_jwt_svid(signer_, claims);
    EXPECT_TRUE(made) << made.error().message;
    return made.value_or("");
  }
  JwtClaims claims() {
    return {.subject = *Id::parse("spiffe://td/payments"),
            .audiences = {"orders", "stock"},
            .issued_at = now_,
            .expires_at = now_ + std::chrono::minutes(5)};
  }
  Result<VerifiedJwt> verify(std::string_view text, std::string_view audience = "orders") {
    return verify_jwt_svid(text, "td", keys_, audience, now_);
  }
  // With our key, whatever the parts say.
  std::string forge(const std::string& header, const std::string& payload) {
    std::string part = to_base64url(as_bytes(header)) + "." + to_base64url(as_bytes(payload));
    return part + "." + to_base64url(*signer_.sign(crypto::SignatureHash::kSha256, as_bytes(part)));
  }
  std::string header(const std::string& more = "") {
    return R"({"alg":"ES256","kid":")" + keys_[0].kid + "\"" + more + "}";
  }

  SystemTime now_ = from_unix_seconds(1'800'000'000);
  crypto::SigningKey key_ = new_key();
  crypto::SoftwareSigner signer_{key_};
  std::vector<JwtKey> keys_{*JwtKey::of(key_.public_key())};
};

TEST_F(JwtSvidTest, WhatIsSignedVerifies) {
  std::string text = token(claims());
  auto good = verify(text, "stock");
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(good->subject.text(), "spiffe://td/payments");
  EXPECT_EQ(good->expires_at, now_ + std::chrono::minutes(5));
  Json claims = Json::parse(good->claims_json);
  EXPECT_EQ(claims["aud"], (Json{"orders", "stock"}));
  EXPECT_EQ(claims["iat"], 1'800'000'000);
}

TEST_F(JwtSvidTest, EveryChangedCharacterIsRefused) {
  std::string text = token(claims());
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(verify(changed)) << i;
  }
  EXPECT_FALSE(verify(text + "A"));
  EXPECT_FALSE(verify(text + "."));
  EXPECT_FALSE(verify(text.substr(0, text.rfind('.') + 1)));
}

TEST_F(JwtSvidTest, OnlyForItsAudienceAndItsTime) {
  std::string text = token(claims());
  EXPECT_THAT(verify(text, "other").error().message, HasSubstr("audience"));
  EXPECT_THAT(verify(text, "order").error().message, HasSubstr("audience"));
  now_ += std::chrono::minutes(5) + std::chrono::seconds(29);
  EXPECT_TRUE(verify(text));
  now_ += std::chrono::seconds(1);
  EXPECT_THAT(verify(text).error().message, HasSubstr("expired"));
}

TEST_F(JwtSvidTest, OnlyOfItsTrustDomainAndItsKeys) {
  std::string text = token(claims());
  EXPECT_THAT(verify_jwt_svid(text, "other", keys_, "orders", now_).error().message, HasSubstr("trust domain"));
  std::vector<JwtKey> others{*JwtKey::of(new_key().public_key())};
  EXPECT_THAT(verify_jwt_svid(text, "td", others, "orders", now_).error().message, HasSubstr("no key"));
  // Another key under the same name.
  others[0].kid = keys_[0].kid;
  EXPECT_THAT(verify_jwt_svid(text, "td", others, "orders", now_).error().message, HasSubstr("signature"));
}

// CVE-2015-9235 and its kin: the token says how it is to be checked.
TEST_F(JwtSvidTest, TheTokenDoesNotChooseTheAlgorithm) {
  std::string payload = R"({"sub":"spiffe://td/payments","aud":"orders","exp":1800000100})";
  EXPECT_TRUE(verify(forge(header(), payload)));
  EXPECT_TRUE(verify(forge(header(R"(,"typ":"JOSE")"), payload)));
  for (std::string_view algorithm : {"none", "HS256", "ES384", "EdDSA", "RS256", "es256"}) {
    std::string bad = fmt::format(R"({{"alg":"{}","kid":"{}"}})", algorithm, keys_[0].kid);
    EXPECT_FALSE(verify(forge(bad, payload))) << algorithm;
  }
  std::string unsigned_part = to_base64url(as_bytes(R"({"alg":"none"})")) + "." + to_base64url(as_bytes(payload)) + ".";
  EXPECT_FALSE(verify(unsigned_part));
  // HMAC keyed with the public key.
  std::string part = to_base64url(as_bytes(fmt::format(R"({{"alg":"HS256","kid":"{}"}})", keys_[0].kid))) + "." +
                     to_base64url(as_bytes(payload));
  EXPECT_FALSE(verify(part + "." + to_base64url(crypto::hmac_sha256(key_.public_key().spki(), as_bytes(part)))));
  for (const char* more : {R"(,"jku":"https://evil")", R"(,"jwk":{})", R"(,"crit":["x"])", R"(,"typ":"at+jwt")"}) {
    EXPECT_FALSE(verify(forge(header(more), payload))) << more;
  }
}

TEST_F(JwtSvidTest, HostileClaims) {
  for (const char* payload : {
           "",
           "[]",
           "null",
           "{",
           "{}",
           R"({"aud":"orders","exp":1800000100})",
           R"({"sub":7,"aud":"orders","exp":1800000100})",
           R"({"sub":"alice","aud":"orders","exp":1800000100})",
           R"({"sub":"spiffe://td","aud":"orders","exp":1800000100})",
           R"({"sub":"spiffe://td/payments","exp":1800000100})",
           R"({"sub":"spiffe://td/payments","aud":[],"exp":1800000100})",
           R"({"sub":"spiffe://td/payments","aud":{"orders":1},"exp":1800000100})",
           R"({"sub":"spiffe://td/payments","aud":"orders"})",
           R"({"sub":"spiffe://td/payments","aud":"orders","exp":"1800000100"})",
           R"({"sub":"spiffe://td/payments","aud":"orders","exp":-1})",
           R"({"sub":"spiffe://td/payments","aud":"orders","exp":1e300})",
           R"({"sub":"spiffe://td/payments","aud":"orders","exp":1800000100,"nbf":1800000100})",
       }) {
    EXPECT_FALSE(verify(forge(header(), payload))) << payload;
  }
  EXPECT_FALSE(verify(std::string(kMaxTokenBytes + 1, 'a')));
  EXPECT_FALSE(verify(std::string(8000, '.')));
  std::string deep(12000, '[');
  EXPECT_FALSE(verify(to_base64url(as_bytes(deep)) + ".e30.e30"));
}

// The last second of the year 9999 is a time to JSON and none to nanoseconds since 1970.
TEST_F(JwtSvidTest, ATokenForEverIsAsGoodAsItsKey) {
  for (const char* exp : {"253402300799", "117e9", "1.1e11"}) {
    const auto good = verify(
        forge(header(), fmt::format(R"({{"sub":"spiffe://td/payments","aud":"stock","exp":{}}})", exp)), "stock");
    ASSERT_TRUE(good) << good.error().message;
    EXPECT_GT(good->expires_at, now_ + std::chrono::years(200));
  }
  EXPECT_FALSE(verify(forge(header(), R"({"sub":"spiffe://td/payments","aud":"stock","exp":1e300})"), "stock"));
}

TEST_F(JwtSvidTest, NothingIsSignedForNobody) {
  JwtClaims bad = claims();
  bad.audiences.clear();
  EXPECT_FALSE(sign_jwt_svid(signer_, bad));
  bad.audiences = {""};
  EXPECT_FALSE(sign_jwt_svid(signer_, bad));
  bad.audiences.assign(kMaxAudiences + 1, "x");
  EXPECT_FALSE(sign_jwt_svid(signer_, bad));
  crypto::SoftwareSigner ed25519(new_key(crypto::KeyAlgorithm::kEd25519));
  EXPECT_FALSE(sign_jwt_svid(ed25519, claims()));
}

// RFC 7638 §3.1 has an RSA key; the same rule for the EC key of RFC 7517 A.1, its thumbprint as other libraries give
// it.
TEST(JwtKey, IsNamedByItsThumbprint) {
  Bytes point{4};
  for (const char* part :
       {"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}) {
    Bytes half = *from_base64url(part);
    point.insert(point.end(), half.begin(), half.end());
  }
  auto key = JwtKey::of(*crypto::VerifyingKey::ecdsa(crypto::KeyAlgorithm::kEcdsaP256, point));
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(key->kid, "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
}

TEST(Bundle, HoldsEveryKeyWithItsUse) {
  crypto::SigningKey ca = new_key(crypto::KeyAlgorithm::kEd25519);
  crypto::X509CaSpec spec{.common_name = "CA", .organization = "td"};
  spec.not_before = from_unix_seconds(1'700'000'000);
  spec.not_after = from_unix_seconds(1'900'000'000);
  spec.uris = {"spiffe://td"};
  auto certificate = crypto::make_x509_ca(ca, spec);
  ASSERT_TRUE(certificate) << certificate.error().message;
  EXPECT_THAT(certificate->uris(), ::testing::ElementsAre("spiffe://td"));
  Bundle bundle{.trust_domain = "td", .x509 = {*certificate}, .jwt = {*JwtKey::of(new_key().public_key())}};
  bundle.sequence = 7;
  Json json = Json::parse(*to_json(bundle));
  EXPECT_EQ(json["spiffe_sequence"], 7);
  EXPECT_EQ(json["spiffe_refresh_hint"], 300);
  ASSERT_EQ(json["keys"].size(), 2U);
  EXPECT_EQ(json["keys"][0]["use"], "x509-svid");
  EXPECT_EQ(json["keys"][0]["kty"], "OKP");
  EXPECT_EQ(*from_base64(json["keys"][0]["x5c"][0].get<std::string>()), certificate->to_der());
  EXPECT_FALSE(json["keys"][0].contains("kid"));
  EXPECT_EQ(json["keys"][1]["use"], "jwt-svid");
  EXPECT_EQ(json["keys"][1]["kid"], bundle.jwt[0].kid);
  Json jwt_only = Json::parse(*jwt_keys_to_json(bundle.jwt));
  ASSERT_EQ(jwt_only["keys"].size(), 1U);
  EXPECT_EQ(jwt_only["keys"][0]["crv"], "P-256");
}

TEST(DerivedKey, FollowsFromSecretAndPurpose) {
  Bytes secret(32, 7), other(32, 8);
  auto key = crypto::derive_p256_key(secret, "one");
  ASSERT_TRUE(key) << key.error().message;
  // As python3-cryptography has it: HKDF-SHA256 of 40 bytes, mod (order - 1), plus 1.
  EXPECT_EQ(
      to_hex(key->public_key().raw()),
      "04e05146feb2d47bee83a30fffdeb75d9c26ea691e30ef6c151a88e3bfd19845f05d6f76d73b66898757bdc08aaed9ce0b72695ea6ff"
      "54b6c39bf7b626470b35c9");
  EXPECT_NE(key->public_key().spki(), crypto::derive_p256_key(secret, "two")->public_key().spki());
  EXPECT_NE(key->public_key().spki(), crypto::derive_p256_key(other, "one")->public_key().spki());
  auto signature = key->sign(crypto::SignatureHash::kSha256, as_bytes("message"));
  ASSERT_TRUE(signature);
  EXPECT_TRUE(key->public_key().verify(crypto::SignatureHash::kSha256, as_bytes("message"), *signature));
  EXPECT_FALSE(crypto::derive_p256_key(Bytes(31), "one"));
  EXPECT_FALSE(crypto::derive_p256_key(secret, ""));
}

}  // namespace
}  // namespace mezite::spiffe
