#include "ssh/keys/certificate.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "ssh/keys/certificate_check.hh"
#include "ssh/keys/private_key.hh"
#include "ssh/keys/test_tools.hh"

namespace mezite::ssh {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing_tools::TemporaryFolder;

const SystemTime kNow = from_unix_seconds(1'800'000'000);

class CertificateTest : public testing::Test {
 protected:
  CertificateRequest request() const {
    return {.public_key = user_.public_key(),
            .type = CertificateType::kUser,
            .key_id = "alice",
            .principals = {"root", "ubuntu"},
            .valid_after = kNow - 1min,
            .valid_before = kNow + 12h,
            .extensions = default_user_extensions()};
  }
  Certificate sign(CertificateRequest request) const { return *sign_certificate(std::move(request), ca_); }

  CertificateCheck check() const { return {.trusted_cas = cas_, .now = kNow}; }

  static std::optional<CertificateRefusalReason> refusal(const Certificate& certificate,
                                                         const CertificateCheck& check) {
    const auto verdict = verify_certificate(certificate, check);
    return verdict ? std::nullopt : std::optional(verdict.error().reason);
  }

  PrivateKey ca_ = *PrivateKey::generate(KeyType::kEd25519);
  PrivateKey user_ = *PrivateKey::generate(KeyType::kEd25519);
  std::vector<PublicKey> cas_{ca_.public_key()};
};

// Builds a certificate field by field, so that each may be wrong.
struct RawCertificate {
  const PrivateKey& ca;
  const PrivateKey& subject;
  Bytes principals = *from_hex("00000004726f6f74");
  std::uint32_t type = 1;
  std::uint64_t valid_after = 0, valid_before = ~std::uint64_t{0};
  Bytes critical, extensions, reserved;
  Bytes signature_key = ca.public_key().wire();

  Bytes wire() const {
    Bytes out;
    Writer writer(out);
    writer.string(certificate_key_name(subject.public_key().type())).string("nonce");
    subject.public_key().write_fields(writer);
    writer.u64(7).u32(type).string("id").string(principals).u64(valid_after).u64(valid_before);
    writer.string(critical).string(extensions).string(reserved).string(signature_key);
    writer.string(*ca.sign(ca.public_key().signature_algorithms().front(), out));
    return out;
  }
};

Bytes options(std::initializer_list<std::pair<std::string_view, std::string_view>> list) {
  Bytes out;
  for (const auto& [name, value] : list) Writer(out).string(name).string(option_value(value));
  return out;
}

TEST_F(CertificateTest, IssuesWhatWasAsked) {
  auto wanted = request();
  wanted.critical_options = {{"source-address", option_value("192.0.2.0/24")}, {"force-command", option_value("true")}};
  const auto certificate = sign(wanted);
  EXPECT_EQ(certificate.name(), "ssh-ed25519-cert-v01@openssh.com");
  EXPECT_EQ(certificate.key_id(), "alice");
  EXPECT_THAT(certificate.valid_principals(), ElementsAre("root", "ubuntu"));
  EXPECT_EQ(certificate.valid_after(), 1'799'999'940u);
  EXPECT_EQ(certificate.valid_before(), 1'800'043'200u);
  EXPECT_EQ(certificate.critical_options()[0].first, "force-command");
  EXPECT_EQ(*option_text(*certificate.find_critical_option("source-address")), "192.0.2.0/24");
  EXPECT_EQ(certificate.extensions().size(), 5u);
  EXPECT_EQ(certificate.find_extension("no-such"), nullptr);
  EXPECT_EQ(certificate.public_key(), user_.public_key());
  EXPECT_EQ(certificate.signature_key(), ca_.public_key());
  EXPECT_EQ(*Certificate::from_text(certificate.to_text("c")), certificate);
  const auto other = sign(request());
  EXPECT_NE(other.serial(), certificate.serial());
}

TEST_F(CertificateTest, ChecksPassAndFailForTheRightReason) {
  using enum CertificateRefusalReason;
  const auto certificate = sign(request());
  auto good = check();
  good.principal = "root";
  EXPECT_EQ(refusal(certificate, good), std::nullopt);

  auto host = check();
  host.type = CertificateType::kHost;
  EXPECT_EQ(refusal(certificate, host), kWrongType);
  auto stranger = check();
  const std::vector<PublicKey> others{user_.public_key()};
  stranger.trusted_cas = others;
  EXPECT_EQ(refusal(certificate, stranger), kUnknownCa);
  stranger.trusted_cas = {};
  EXPECT_EQ(refusal(certificate, stranger), kUnknownCa);
  auto principal = check();
  principal.principal = "roo";
  EXPECT_EQ(refusal(certificate, principal), kPrincipal);
  principal.principal = "root,ubuntu";
  EXPECT_EQ(refusal(certificate, principal), kPrincipal);
  principal.principal = "";
  EXPECT_EQ(refusal(certificate, principal), kPrincipal);

  auto early = check();
  early.now = kNow - 61s;
  auto verdict = verify_certificate(certificate, early);
  EXPECT_EQ(verdict.error().reason, kNotYetValid);
  EXPECT_EQ(verdict.error().message, "ssh: certificate not yet valid");
  early.now = kNow - 60s;
  EXPECT_EQ(refusal(certificate, early), std::nullopt);
  auto late = check();
  late.now = kNow + 12h - 1s;
  EXPECT_EQ(refusal(certificate, late), std::nullopt);
  late.now = kNow + 12h;
  verdict = verify_certificate(certificate, late);
  EXPECT_EQ(verdict.error().reason, kExpired);
  EXPECT_EQ(verdict.error().message, "ssh: certificate expired");
  EXPECT_EQ(verdict.error().code, ErrorCode::kUnauthenticated);
}

TEST_F(CertificateTest, EveryFlippedBitIsRefused) {
  const auto certificate = sign(request());
  for (std::size_t bit = 0; bit < certificate.wire().size() * 8; ++bit) {
    Bytes damaged = certificate.wire();
    damaged[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    const auto parsed = Certificate::from_wire(damaged);
    EXPECT_TRUE(!parsed || refusal(*parsed, check())) << bit;
  }
  for (std::size_t size = 0; size < certificate.wire().size(); ++size) {
    EXPECT_FALSE(Certificate::from_wire(BytesView(certificate.wire()).first(size)));
  }
}

TEST_F(CertificateTest, CriticalOptionsFailClosed) {
  using enum CertificateRefusalReason;
  const auto with = [&](std::string name, Bytes value, CertificateType type = CertificateType::kUser) {
    auto wanted = request();
    wanted.type = type;
    wanted.critical_options = {{std::move(name), std::move(value)}};
    return sign(wanted);
  };
  EXPECT_EQ(refusal(with("verify-required", {}), check()), kCriticalOption);
  EXPECT_EQ(refusal(with("x@example", option_value("1")), check()), kCriticalOption);
  EXPECT_EQ(refusal(with("force-command", option_value("id")), check()), std::nullopt);
  EXPECT_EQ(refusal(with("force-command", {}), check()), kCriticalOption);
  EXPECT_EQ(refusal(with("force-command", option_value(std::string_view("a\0b", 3))), check()), kCriticalOption);

  const auto bound = with("source-address", option_value("192.0.2.0/24,2001:db8::/32"));
  EXPECT_EQ(refusal(bound, check()), kSourceAddress);  // no address known
  const auto from = [&](const Certificate& certificate, std::string_view address) {
    auto here = check();
    here.source_address = address;
    return refusal(certificate, here);
  };
  EXPECT_EQ(from(bound, "192.0.2.9"), std::nullopt);
  EXPECT_EQ(from(bound, "::ffff:192.0.2.9"), std::nullopt);
  EXPECT_EQ(from(bound, "2001:db8::7"), std::nullopt);
  EXPECT_EQ(from(bound, "192.0.3.9"), kSourceAddress);
  EXPECT_EQ(from(bound, "2001:db9::7"), kSourceAddress);
  EXPECT_EQ(from(bound, "localhost"), kCriticalOption);
  EXPECT_EQ(from(with("source-address", option_value("192.0.2.0/33")), "192.0.2.1"), kCriticalOption);
  EXPECT_EQ(from(with("source-address", to_bytes("192.0.2.0/24")), "192.0.2.1"), kCriticalOption);

  auto host = check();
  host.type = CertificateType::kHost;
  EXPECT_EQ(refusal(with("force-command", option_value("id"), CertificateType::kHost), host), kCriticalOption);
}

TEST(SourceAddressTest, Parser) {
  const auto match = [](std::string_view list, std::string_view address) {
    const auto result = match_source_address(list, address);
    return result ? (*result ? "yes" : "no") : "bad";
  };
  EXPECT_STREQ(match("10.0.0.0/8", "10.1.2.3"), "yes");
  EXPECT_STREQ(match("10.0.0.0/8", "11.1.2.3"), "no");
  EXPECT_STREQ(match("10.0.0.1", "10.0.0.1"), "yes");
  EXPECT_STREQ(match("0.0.0.0/0", "10.0.0.1"), "yes");
  EXPECT_STREQ(match("0.0.0.0/0", "2001:db8::1"), "no");
  EXPECT_STREQ(match("::/0", "10.0.0.1"), "no");
  EXPECT_STREQ(match("::/0", "2001:db8::1"), "yes");
  EXPECT_STREQ(match("10.0.0.0/9,192.168.1.128/25", "192.168.1.200"), "yes");
  EXPECT_STREQ(match("192.168.1.128/25", "192.168.1.127"), "no");
  // One bad item spoils the list, even behind one that matches.
  for (const char* list : {"",
                           ",",
                           "10.0.0.0/8,",
                           "10.0.0.0/8, 11.0.0.0/8",
                           "10.0.0.1/8",
                           "10.0.0.0/",
                           "10.0.0.0/08",
                           "10.0.0.0/+8",
                           "10.0.0.0/-1",
                           "10.0.0.0/33",
                           "::/129",
                           "10.0.0/8",
                           "10.0.0.0/8/8",
                           "*",
                           "!10.0.0.0/8",
                           "010.0.0.0/8",
                           "10.0.0.0/99999999999",
                           "2001:db8::1/64",
                           "fe80::1%lo",
                           "10.0.0.0/8,x"}) {
    EXPECT_STREQ(match(list, "10.0.0.0"), "bad") << list;
  }
  EXPECT_STREQ(match("10.0.0.0/8", ""), "bad");
  EXPECT_STREQ(match("10.0.0.0/8", "10.0.0.1:22"), "bad");
}

// Vault CVE-2024-7594 (no principals), OpenSSH CVE-2026-35414 (comma in a principal).
TEST_F(CertificateTest, BadPrincipalsAreNotIssued) {
  const auto issue = [&](std::vector<std::string> principals) {
    auto wanted = request();
    wanted.principals = std::move(principals);
    return sign_certificate(wanted, ca_).has_value();
  };
  EXPECT_TRUE(issue({"root"}));
  EXPECT_TRUE(issue({"alice@example.com", "EXAMPLE\\bob", "jürgen", "web-01.example"}));
  EXPECT_FALSE(issue({}));
  for (const std::string& name :
       {std::string(), std::string("a,b"), std::string("a b"), std::string("a\tb"), std::string("a\nb"),
        std::string("*"), std::string("web-*"), std::string("web-?"), std::string("a\0b", 3), std::string("a\x7f"),
        std::string("a\x1b[2J"), std::string("\xff\xfe"), std::string(300, 'a'), std::string("\u202eroot")}) {
    EXPECT_FALSE(issue({"ok", name})) << name;
  }
  EXPECT_FALSE(issue(std::vector<std::string>(257, "a")));
  auto reversed = request();
  reversed.valid_before = reversed.valid_after;
  EXPECT_FALSE(sign_certificate(reversed, ca_));
  auto twice = request();
  twice.extensions = {{"permit-pty", {}}, {"permit-pty", {}}};
  EXPECT_FALSE(sign_certificate(twice, ca_));
  auto control = request();
  control.key_id = "alice\n";
  EXPECT_FALSE(sign_certificate(control, ca_));
}

TEST_F(CertificateTest, HostileCertificates) {
  using enum CertificateRefusalReason;
  const RawCertificate good{ca_, user_};
  ASSERT_TRUE(Certificate::from_wire(good.wire()));
  EXPECT_EQ(refusal(*Certificate::from_wire(good.wire()), check()), std::nullopt);

  auto no_principals = good;  // Vault CVE-2024-7594
  no_principals.principals.clear();
  EXPECT_EQ(refusal(*Certificate::from_wire(no_principals.wire()), check()), kPrincipal);
  auto comma = good;  // OpenSSH CVE-2026-35414
  comma.principals.clear();
  Writer(comma.principals).string("x,root");
  EXPECT_EQ(refusal(*Certificate::from_wire(comma.wire()), check()), kPrincipal);
  auto reversed = good;
  reversed.valid_after = 2'000'000'000;
  reversed.valid_before = 1'000'000'000;
  EXPECT_NE(refusal(*Certificate::from_wire(reversed.wire()), check()), std::nullopt);

  auto type = good;
  for (const std::uint32_t value : {0u, 3u, 0xffffffffu}) {
    type.type = value;
    EXPECT_FALSE(Certificate::from_wire(type.wire()));
  }
  // Teleport CVE-2025-49825: a certificate in the CA's place.
  auto nested = good;
  nested.signature_key = sign(request()).wire();
  EXPECT_FALSE(Certificate::from_wire(nested.wire()));

  auto unsorted = good;
  unsorted.extensions = options({{"b", "1"}, {"a", "1"}});
  EXPECT_FALSE(Certificate::from_wire(unsorted.wire()));
  unsorted.extensions = options({{"a", "1"}, {"a", "2"}});
  EXPECT_FALSE(Certificate::from_wire(unsorted.wire()));
  unsorted.extensions = {};
  unsorted.critical = options({{"source-address", "0.0.0.0/0"}, {"force-command", "x"}});
  EXPECT_FALSE(Certificate::from_wire(unsorted.wire()));
  auto cut = good;
  cut.critical = *from_hex("0000000161");
  EXPECT_FALSE(Certificate::from_wire(cut.wire()));
  auto trailing = good.wire();
  trailing.push_back(0);
  EXPECT_FALSE(Certificate::from_wire(trailing));
  auto many = good;
  many.principals.clear();
  for (int i = 0; i < 257; ++i) Writer(many.principals).string("a");
  EXPECT_FALSE(Certificate::from_wire(many.wire()));
  EXPECT_FALSE(Certificate::from_wire(Bytes(100000)));
  EXPECT_FALSE(Certificate::from_wire(user_.public_key().wire()));
  EXPECT_FALSE(PublicKey::from_wire(good.wire()));
}

TEST_F(CertificateTest, SignedByAnotherKeyThanItNames) {
  const auto mallory = *PrivateKey::generate(KeyType::kEd25519);
  RawCertificate forged{mallory, user_};
  forged.signature_key = ca_.public_key().wire();
  EXPECT_EQ(refusal(*Certificate::from_wire(forged.wire()), check()), CertificateRefusalReason::kBadSignature);
}

TEST_F(CertificateTest, CacheRemembersSignaturesOnly) {
  SignatureCache cache(4);
  const auto certificate = sign(request());
  auto cached = check();
  cached.cache = &cache;
  EXPECT_EQ(refusal(certificate, cached), std::nullopt);
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_EQ(refusal(certificate, cached), std::nullopt);
  cached.now = kNow + 13h;
  EXPECT_EQ(refusal(certificate, cached), CertificateRefusalReason::kExpired);
  cached = check();
  cached.cache = &cache;
  cached.trusted_cas = {};
  EXPECT_EQ(refusal(certificate, cached), CertificateRefusalReason::kUnknownCa);
  Bytes damaged = certificate.wire();
  damaged.back() ^= 1;
  cached = check();
  cached.cache = &cache;
  EXPECT_EQ(refusal(*Certificate::from_wire(damaged), cached), CertificateRefusalReason::kBadSignature);
  EXPECT_EQ(cache.size(), 1u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(refusal(sign(request()), cached), std::nullopt);
  EXPECT_LE(cache.size(), 4u);
}

TEST_F(CertificateTest, CredentialsOfBothForms) {
  const auto certificate = sign(request());
  const auto certified = parse_public_credential(certificate.wire());
  ASSERT_TRUE(certified && std::holds_alternative<Certificate>(*certified));
  EXPECT_EQ(plain_key(*certified), user_.public_key());
  const auto plain = parse_public_credential(user_.public_key().wire());
  ASSERT_TRUE(plain && std::holds_alternative<PublicKey>(*plain));
  EXPECT_FALSE(parse_public_credential({}));
}

struct KeygenKind {
  KeyType type;
  const char* arguments;
};
void PrintTo(const KeygenKind& kind, std::ostream* out) { *out << kind.arguments; }
class CertificateWithKeygenTest : public testing::TestWithParam<KeygenKind> {};
INSTANTIATE_TEST_SUITE_P(All, CertificateWithKeygenTest,
                         testing::Values(KeygenKind{KeyType::kEd25519, "-t ed25519"},
                                         KeygenKind{KeyType::kEcdsaP256, "-t ecdsa -b 256"},
                                         KeygenKind{KeyType::kEcdsaP384, "-t ecdsa -b 384"},
                                         KeygenKind{KeyType::kEcdsaP521, "-t ecdsa -b 521"},
                                         KeygenKind{KeyType::kRsa, "-t rsa -b 2048"}));

TEST_P(CertificateWithKeygenTest, KeygenReadsOurs) {
  const auto ca = *PrivateKey::generate(GetParam().type, 2048);
  const auto user = *PrivateKey::generate(GetParam().type, 2048);
  auto certificate = *sign_certificate({.public_key = user.public_key(),
                                        .key_id = "alice",
                                        .principals = {"root", "ubuntu"},
                                        .valid_after = from_unix_seconds(1'700'000'000),
                                        .valid_before = from_unix_seconds(1'700'003'600),
                                        .critical_options = {{"source-address", option_value("192.0.2.0/24")}},
                                        .extensions = default_user_extensions()},
                                       ca);
  const TemporaryFolder folder;
  folder.put("id-cert.pub", certificate.to_text() + "\n");
  const auto shown = folder.run("TZ=UTC ssh-keygen -L -f id-cert.pub");
  EXPECT_EQ(shown.status, 0) << shown.output;
  EXPECT_THAT(shown.output, HasSubstr(std::string(certificate.name()) + " user certificate"));
  EXPECT_THAT(shown.output, HasSubstr("Signing CA: "));
  EXPECT_THAT(shown.output, HasSubstr(ca.public_key().fingerprint()));
  EXPECT_THAT(shown.output, HasSubstr("Key ID: \"alice\""));
  EXPECT_THAT(shown.output, HasSubstr("Serial: " + std::to_string(certificate.serial())));
  EXPECT_THAT(shown.output, HasSubstr("from 2023-11-14T22:13:20 to 2023-11-14T23:13:20"));
  EXPECT_THAT(shown.output, HasSubstr("                root\n                ubuntu\n"));
  EXPECT_THAT(shown.output, HasSubstr("source-address 192.0.2.0/24"));
  EXPECT_THAT(shown.output, HasSubstr("permit-pty"));
}

TEST_P(CertificateWithKeygenTest, WeReadKeygens) {
  const TemporaryFolder folder;
  const std::string kind = GetParam().arguments;
  ASSERT_EQ(folder.run("ssh-keygen -q -N '' -f ca " + kind + " && ssh-keygen -q -N '' -f id " + kind).status, 0);
  const auto made = folder.run(
      "ssh-keygen -q -s ca -I bob -n root,deploy -V -1m:+1h -z 4711 -O clear -O permit-pty -O force-command='uname -a'"
      " -O source-address=10.0.0.0/8,2001:db8::/32 -O extension:roles@mezite.com=[] id.pub");
  ASSERT_EQ(made.status, 0) << made.output;
  const auto certificate = Certificate::from_text(folder.get("id-cert.pub"));
  ASSERT_TRUE(certificate) << certificate.error().message;
  EXPECT_EQ(certificate->serial(), 4711u);
  EXPECT_EQ(certificate->key_id(), "bob");
  EXPECT_THAT(certificate->valid_principals(), ElementsAre("root", "deploy"));
  EXPECT_EQ(*option_text(*certificate->find_critical_option("force-command")), "uname -a");
  EXPECT_EQ(*option_text(*certificate->find_extension("roles@mezite.com")), "[]");
  EXPECT_NE(certificate->find_extension("permit-pty"), nullptr);
  const std::vector cas{*PublicKey::from_text(folder.get("ca.pub"))};
  CertificateCheck check{
      .trusted_cas = cas, .now = system_clock().now(), .principal = "deploy", .source_address = "10.1.2.3"};
  EXPECT_TRUE(verify_certificate(*certificate, check));
  check.source_address = "11.1.2.3";
  EXPECT_FALSE(verify_certificate(*certificate, check));
  check.source_address = "10.1.2.3";
  check.now += 2h;
  EXPECT_EQ(verify_certificate(*certificate, check).error().message, "ssh: certificate expired");

  ASSERT_EQ(folder.run("ssh-keygen -q -s ca -h -I web -n web-01,web-01.example -V always:forever id.pub").status, 0);
  const auto host = Certificate::from_text(folder.get("id-cert.pub"));
  ASSERT_TRUE(host);
  EXPECT_TRUE(verify_certificate(
      *host, {.type = CertificateType::kHost, .trusted_cas = cas, .now = kNow, .principal = "web-01"}));
  // No principals at all: good for everybody to others, for nobody here.
  ASSERT_EQ(folder.run("ssh-keygen -q -s ca -I all -V always:forever id.pub").status, 0);
  EXPECT_EQ(verify_certificate(*Certificate::from_text(folder.get("id-cert.pub")), {.trusted_cas = cas, .now = kNow})
                .error()
                .reason,
            CertificateRefusalReason::kPrincipal);
}

// RSA signatures of CAs with SHA-1 are not taken, those with SHA-2 are.
TEST(RsaCaTest, Sha1IsRefused) {
  const TemporaryFolder folder;
  ASSERT_EQ(folder.run("ssh-keygen -q -N '' -t rsa -b 2048 -f ca && ssh-keygen -q -N '' -t ed25519 -f id").status, 0);
  const std::vector cas{*PublicKey::from_text(folder.get("ca.pub"))};
  const auto verify = [&](const std::string& algorithm) {
    EXPECT_EQ(folder.run("ssh-keygen -q -t " + algorithm + " -s ca -I x -n root -V always:forever id.pub").status, 0);
    return verify_certificate(*Certificate::from_text(folder.get("id-cert.pub")), {.trusted_cas = cas, .now = kNow})
        .has_value();
  };
  EXPECT_TRUE(verify("rsa-sha2-256"));
  EXPECT_TRUE(verify("rsa-sha2-512"));
  EXPECT_FALSE(verify("ssh-rsa"));
}

}  // namespace
}  // namespace mezite::ssh
