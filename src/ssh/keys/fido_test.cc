#include "ssh/keys/fido.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "crypto/hash.hh"
#include "ssh/keys/certificate_check.hh"
#include "ssh/keys/private_key.hh"
#include "ssh/keys/test_authenticator.hh"
#include "ssh/keys/test_tools.hh"

namespace mezite::ssh {
namespace {

using testing::HasSubstr;
using testing_tools::kSkDummy;
using testing_tools::TemporaryFolder;
using testing_tools::TestAuthenticator;

constexpr AuthenticatorRules kNoTouch{.presence = UserPresence::kNotRequired};
constexpr AuthenticatorRules kPin{.verification = UserVerification::kRequired};

class FidoTest : public testing::TestWithParam<KeyType> {};
INSTANTIATE_TEST_SUITE_P(All, FidoTest, testing::Values(KeyType::kSkEd25519, KeyType::kSkEcdsaP256));

TEST_P(FidoTest, SignaturesWithTouchAreTaken) {
  const TestAuthenticator authenticator(GetParam());
  const PublicKey& key = authenticator.public_key();
  EXPECT_EQ(key.type(), GetParam());
  EXPECT_EQ(key.application(), "ssh:");
  const auto algorithm = key.signature_algorithms().front();
  const auto signature = authenticator.sign(as_bytes("data"), {.flags = 1, .counter = 0x01020304});
  EXPECT_TRUE(key.verify(algorithm, as_bytes("data"), signature));
  const auto shown = key.verify_with({}, algorithm, as_bytes("data"), signature);
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->counter, 0x01020304u);
  EXPECT_TRUE(shown->user_present());
  EXPECT_FALSE(shown->user_verified());
  EXPECT_FALSE(key.verify(algorithm, as_bytes("date"), signature));
  EXPECT_FALSE(TestAuthenticator(GetParam()).public_key().verify(algorithm, as_bytes("data"), signature));
}

TEST_P(FidoTest, SignaturesWithoutTouchAreRefusedUnlessThatIsLifted) {
  const TestAuthenticator authenticator(GetParam());
  const PublicKey& key = authenticator.public_key();
  const auto algorithm = key.signature_algorithms().front();
  for (const std::uint8_t flags : {std::uint8_t{0}, std::uint8_t{4}, std::uint8_t{0xfe}}) {
    const auto signature = authenticator.sign(as_bytes("data"), {.flags = flags, .counter = 1});
    const auto refused = key.verify(algorithm, as_bytes("data"), signature);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kUnauthenticated);
    EXPECT_THAT(refused.error().message, HasSubstr("was not touched"));
    EXPECT_TRUE(key.verify_with(kNoTouch, algorithm, as_bytes("data"), signature));
  }
  EXPECT_FALSE(key.verify_with(kPin, algorithm, as_bytes("data"), authenticator.sign(as_bytes("data"), {.flags = 1})));
  EXPECT_TRUE(key.verify_with(kPin, algorithm, as_bytes("data"), authenticator.sign(as_bytes("data"), {.flags = 5})));
}

// Flags and counter are signed: nobody on the way can say that a key was touched.
TEST_P(FidoTest, EveryFlippedBitOfASignatureIsRefused) {
  const TestAuthenticator authenticator(GetParam());
  const PublicKey& key = authenticator.public_key();
  const auto algorithm = key.signature_algorithms().front();
  const Bytes signature = authenticator.sign(as_bytes("data"), {.flags = 1, .counter = 9});
  for (std::size_t bit = 0; bit < signature.size() * 8; ++bit) {
    Bytes damaged = signature;
    damaged[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    EXPECT_FALSE(key.verify_with(kNoTouch, algorithm, as_bytes("data"), damaged)) << bit;
  }
  for (std::size_t size = 0; size < signature.size(); ++size) {
    EXPECT_FALSE(key.verify(algorithm, as_bytes("data"), BytesView(signature).first(size)));
  }
  Bytes longer = signature;
  longer.push_back(0);
  EXPECT_FALSE(key.verify(algorithm, as_bytes("data"), longer));
}

// Neither a plain signature of the same key material nor one for another application stands in for it.
TEST_P(FidoTest, ApplicationAndAlgorithmAreBound) {
  const TestAuthenticator authenticator(GetParam(), "ssh:one");
  const auto algorithm = authenticator.public_key().signature_algorithms().front();
  const Bytes signature = authenticator.sign(as_bytes("data"), {.flags = 1});
  const auto other = authenticator.with_application("ssh:two");
  EXPECT_TRUE(authenticator.public_key().verify(algorithm, as_bytes("data"), signature));
  EXPECT_FALSE(other.verify(algorithm, as_bytes("data"), signature));
  EXPECT_FALSE(authenticator.public_key().verify("ssh-ed25519", as_bytes("data"), signature));
  EXPECT_FALSE(authenticator.public_key().verify("ecdsa-sha2-nistp256", as_bytes("data"), signature));
  EXPECT_FALSE(PrivateKey::generate(GetParam()));
}

TEST_P(FidoTest, WireTextAndHostileForms) {
  const TestAuthenticator authenticator(GetParam());
  const PublicKey& key = authenticator.public_key();
  EXPECT_EQ(*PublicKey::from_wire(key.wire()), key);
  EXPECT_EQ(*PublicKey::from_text(key.to_text("yubi")), key);
  for (std::size_t size = 0; size < key.wire().size(); ++size) {
    EXPECT_FALSE(PublicKey::from_wire(BytesView(key.wire()).first(size)));
  }
  Bytes longer = key.wire();
  longer.push_back(0);
  EXPECT_FALSE(PublicKey::from_wire(longer));
  Bytes huge = key.wire();
  huge.resize(huge.size() - 8);  // the application
  Writer(huge).string(std::string(PublicKey::kMaxApplicationBytes + 1, 'x'));
  EXPECT_FALSE(PublicKey::from_wire(huge));
}

class FidoCertificateTest : public FidoTest {
 protected:
  Certificate certificate(CertificateOptions critical, CertificateOptions extensions,
                          std::optional<PublicKey> subject = {}) const {
    return *sign_certificate({.public_key = subject ? *subject : authenticator_.public_key(),
                              .key_id = "alice",
                              .principals = {"root"},
                              .valid_after = from_unix_seconds(1000),
                              .valid_before = from_unix_seconds(2000),
                              .critical_options = std::move(critical),
                              .extensions = std::move(extensions)},
                             ca_);
  }
  bool good(const Certificate& certificate) const {
    const std::vector<PublicKey> cas{ca_.public_key()};
    return verify_certificate(certificate, {.trusted_cas = cas, .now = from_unix_seconds(1500)}).has_value();
  }
  TestAuthenticator authenticator_{GetParam()};
  PrivateKey ca_ = *PrivateKey::generate(KeyType::kEd25519);
};
INSTANTIATE_TEST_SUITE_P(All, FidoCertificateTest, testing::Values(KeyType::kSkEd25519, KeyType::kSkEcdsaP256));

TEST_P(FidoCertificateTest, SaysWhatIsAskedOfTheKey) {
  const auto plain = certificate({}, default_user_extensions());
  EXPECT_EQ(plain.public_key(), authenticator_.public_key());
  EXPECT_EQ(*Certificate::from_text(plain.to_text()), plain);
  EXPECT_EQ(plain.authenticator_rules().presence, UserPresence::kRequired);
  EXPECT_EQ(plain.authenticator_rules().verification, UserVerification::kNotRequired);
  EXPECT_TRUE(good(plain));

  const auto lifted = certificate({}, {{"no-touch-required", {}}});
  EXPECT_EQ(lifted.authenticator_rules().presence, UserPresence::kNotRequired);
  EXPECT_TRUE(good(lifted));

  const auto verified = certificate({{"verify-required", {}}}, {});
  EXPECT_EQ(verified.authenticator_rules().verification, UserVerification::kRequired);
  EXPECT_TRUE(good(verified));
  EXPECT_FALSE(good(certificate({{"verify-required", Bytes{0, 0, 0, 0}}}, {})));
  // As a critical option it lifts nothing and is not known; a key that cannot verify its user cannot meet the other.
  EXPECT_FALSE(good(certificate({{"no-touch-required", {}}}, {})));
  EXPECT_FALSE(good(certificate({{"verify-required", {}}}, {}, ca_.public_key())));
}

// ssh-keygen with the software authenticator of Debian's openssh-tests.
class FidoWithKeygenTest : public FidoTest {
 protected:
  void SetUp() override { ASSERT_TRUE(std::filesystem::exists(kSkDummy)) << "install openssh-tests"; }
  TemporaryFolder::Outcome keygen(const std::string& options) const {
    return folder_.run(fmt::format("SSH_SK_PROVIDER={} ssh-keygen -q {}", kSkDummy, options));
  }
  std::string type() const { return GetParam() == KeyType::kSkEd25519 ? "ed25519-sk" : "ecdsa-sk"; }
  TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(All, FidoWithKeygenTest, testing::Values(KeyType::kSkEd25519, KeyType::kSkEcdsaP256));

TEST_P(FidoWithKeygenTest, KeysSignaturesAndCertificates) {
  for (const bool touch : {true, false}) {
    const auto made =
        keygen(fmt::format("-t {} -N '' -C me -f id{} {}", type(), touch, touch ? "" : "-O no-touch-required"));
    ASSERT_EQ(made.status, 0) << made.output;
    const auto key = PublicKey::from_text(folder_.get(fmt::format("id{}.pub", touch)));
    ASSERT_TRUE(key) << key.error().message;
    EXPECT_EQ(key->type(), GetParam());
    EXPECT_EQ(key->application(), "ssh:");
    EXPECT_THAT(folder_.run(fmt::format("ssh-keygen -l -f id{}.pub", touch)).output, HasSubstr(key->fingerprint()));

    // OpenSSH's PROTOCOL.sshsig: the signature is over this envelope.
    folder_.put("data", "hello");
    const auto signed_file = keygen(fmt::format("-Y sign -n test -f id{} data", touch));
    ASSERT_EQ(signed_file.status, 0) << signed_file.output;
    std::string armoured = folder_.get("data.sig");
    std::filesystem::remove(folder_.file("data.sig"));
    armoured = armoured.substr(armoured.find('\n') + 1);
    armoured = armoured.substr(0, armoured.find("-----END"));
    std::erase(armoured, '\n');
    const auto blob = from_base64(armoured);
    ASSERT_TRUE(blob);
    Reader in(*blob);
    EXPECT_EQ(as_text(in.take(6)), "SSHSIG");
    EXPECT_EQ(in.u32(), 1u);
    EXPECT_EQ(to_hex(in.string()), to_hex(key->wire()));
    in.string();  // namespace
    in.string();  // reserved
    const std::string_view hash = in.text();
    const BytesView signature = in.string();
    ASSERT_TRUE(in.at_end());
    Bytes envelope = to_bytes("SSHSIG");
    Writer(envelope).string("test").string("").string(hash).string(crypto::hash(
        hash == "sha512" ? crypto::HashAlgorithm::kSha512 : crypto::HashAlgorithm::kSha256, as_bytes("hello")));
    const auto algorithm = key->signature_algorithms().front();
    EXPECT_EQ(key->verify(algorithm, envelope, signature).has_value(), touch);
    EXPECT_TRUE(key->verify_with(kNoTouch, algorithm, envelope, signature));
    EXPECT_FALSE(key->verify_with(kPin, algorithm, envelope, signature));
  }

  ASSERT_EQ(folder_.run("ssh-keygen -q -t ed25519 -N '' -f ca").status, 0);
  ASSERT_EQ(
      folder_.run("ssh-keygen -q -s ca -I me -n root -V +1h -O no-touch-required -O verify-required idtrue.pub").status,
      0);
  const auto certificate = Certificate::from_text(folder_.get("idtrue-cert.pub"));
  ASSERT_TRUE(certificate) << certificate.error().message;
  EXPECT_EQ(certificate->authenticator_rules().presence, UserPresence::kNotRequired);
  EXPECT_EQ(certificate->authenticator_rules().verification, UserVerification::kRequired);
  const std::vector<PublicKey> cas{*PublicKey::from_text(folder_.get("ca.pub"))};
  EXPECT_TRUE(verify_certificate(*certificate, {.trusted_cas = cas, .now = system_clock().now()}));
}

// The other way round: ours, read and checked by ssh-keygen.
TEST_P(FidoWithKeygenTest, KeygenVerifiesOurs) {
  const TestAuthenticator authenticator(GetParam());
  folder_.put("key.pub", authenticator.public_key().to_text("me") + "\n");
  EXPECT_THAT(folder_.run("ssh-keygen -l -f key.pub").output, HasSubstr(authenticator.public_key().fingerprint()));
  folder_.put("allowed", "me " + authenticator.public_key().to_text() + "\n");
  Bytes envelope = to_bytes("SSHSIG");
  Writer(envelope).string("test").string("").string("sha512").string(
      crypto::hash(crypto::HashAlgorithm::kSha512, as_bytes("hello")));
  for (const std::uint8_t flags : {std::uint8_t{1}, std::uint8_t{0}}) {
    Bytes blob = to_bytes("SSHSIG");
    Writer(blob)
        .u32(1)
        .string(authenticator.public_key().wire())
        .string("test")
        .string("")
        .string("sha512")
        .string(authenticator.sign(envelope, {.flags = flags, .counter = 3}));
    folder_.put("sig", "-----BEGIN SSH SIGNATURE-----\n" + to_base64(blob) + "\n-----END SSH SIGNATURE-----\n");
    const auto verified = folder_.run("printf hello | ssh-keygen -Y verify -f allowed -I me -n test -s sig");
    EXPECT_EQ(verified.status, 0) << verified.output;  // -Y verify asks for no touch
  }
}

}  // namespace
}  // namespace mezite::ssh
