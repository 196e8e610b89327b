#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include "base/file.hh"
#include "pki/authority.hh"
#include "ssh/keys/certificate_check.hh"
#include "ssh/keys/private_key.hh"
#include "store/schema.hh"
#include "store/settings.hh"

namespace mezite::pki {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using std::chrono::seconds;

std::string shell(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer;
  for (std::size_t n; (n = ::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) out.append(buffer.data(), n);
  ::pclose(pipe);
  return out;
}

bool contains(const std::string& text, std::string_view what) { return text.find(what) != std::string::npos; }

class PkiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mezite-pki-XXXXXX";
    folder_ = ::mkdtemp(name);
    path_ = folder_ / "mezhub.db";
    open_database();
  }
  void TearDown() override {
    db_.reset();
    fs::remove_all(folder_);
  }
  void open_database() { db_ = store::Database::open({.path = path_, .migrations = store::schema()}).value(); }
  void reopen() {
    db_.reset();
    open_database();
  }
  Result<SecretBox> box(std::string_view passphrase) {
    return SecretBox::open(*db_, Secret(passphrase), crypto::kCheapArgon2);
  }
  std::unique_ptr<Authority> authority(std::string_view passphrase = "") {
    auto opened = box(passphrase);
    EXPECT_TRUE(opened) << opened.error().message;
    return Authority::open(*db_, *opened, *keys_, "example", clock_).value();
  }
  std::string sqlite(const std::string& sql) { return shell("sqlite3 " + path_.string() + " \"" + sql + "\""); }
  fs::path write(const std::string& name, const std::string& text) {
    EXPECT_TRUE(write_file(folder_ / name, as_bytes(text)));
    return folder_ / name;
  }
  static ssh::PublicKey new_key() { return ssh::PrivateKey::generate(ssh::KeyType::kEd25519).value().public_key(); }
  static UserCertificateRequest alice() {
    return {.user = "alice",
            .public_key = new_key(),
            .logins = {"root", "ubuntu"},
            .roles = {"access"},
            .traits = {{"logins", {"ubuntu", "quo\"te"}}},
            .ttl = hours(8),
            .source_address = ""};
  }

  fs::path folder_, path_;
  ManualClock clock_{system_clock().now()};
  std::unique_ptr<store::Database> db_;
  std::unique_ptr<KeyStore> keys_ = software_key_store();
};

TEST_F(PkiTest, TheCasAreMadeOnceAndStay) {
  auto first = authority();
  EXPECT_TRUE(first->created_now());
  auto before = first->status();
  first.reset();
  reopen();
  auto second = authority();
  EXPECT_FALSE(second->created_now());
  auto after = second->status();
  ASSERT_EQ(after.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(after[i].keys, before[i].keys);
    EXPECT_EQ(after[i].rotation, Rotation{});
    EXPECT_EQ(after[i].keys.standby, "");
    EXPECT_GT(after[i].expires_at, clock_.now() + hours(24 * 3600));
  }
  EXPECT_EQ(after[1].pin, "sha256:" + second->host_ca_pin());
  EXPECT_EQ(after[0].pin, "");
  EXPECT_TRUE(second->warnings().empty());
  clock_.advance(hours(24 * (3652 - 80)));
  EXPECT_EQ(second->warnings().size(), 3u);
  EXPECT_TRUE(contains(second->warnings()[0], "the user CA expires in "));
}

// R15: without a passphrase the keys are in clear, and the hub knows that it has to warn.
TEST_F(PkiTest, InClearWithoutPassphrase) {
  authority();
  EXPECT_TRUE(box("")->needs_plaintext_warning());
  EXPECT_EQ(sqlite("SELECT DISTINCT hex(substr(private_key, 1, 2)) FROM certificate_authorities"), "0030\n");
}

// T33: the database holds the alias, never the key, and a hub without the KMS says what it misses.
TEST_F(PkiTest, AKeyInAKmsThatIsNotThere) {
  authority("pass");
  sqlite("UPDATE certificate_authorities SET private_key = X'', kms_alias = 'alias/mezite/x' WHERE type = 'user'");
  auto opened = box("pass").value();
  auto refused = Authority::open(*db_, opened, *keys_, "example", clock_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_TRUE(contains(refused.error().message, "the user CA: the key is in a KMS (alias/mezite/x)"))
      << refused.error().message;
  EXPECT_TRUE(contains(refused.error().message, "can't sign; set ca.kms.provider")) << refused.error().message;
}

// T32: AES-256-GCM under Argon2id of the passphrase; wrong and missing ones are refused in words.
TEST_F(PkiTest, WrongAndMissingPassphrase) {
  auto fingerprint = authority("correct horse")->host_ca_fingerprint();
  EXPECT_EQ(sqlite("SELECT DISTINCT hex(substr(private_key, 1, 1)) FROM certificate_authorities"), "01\n");
  reopen();
  auto wrong = box("battery staple");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_TRUE(contains(wrong.error().message, "wrong ca_key_passphrase")) << wrong.error().message;
  auto missing = box("");
  ASSERT_FALSE(missing);
  EXPECT_TRUE(contains(missing.error().message, "ca_key_passphrase is not set: without it a restored hub can't sign"))
      << missing.error().message;
  EXPECT_FALSE(box("correct horse")->needs_plaintext_warning());
  EXPECT_EQ(authority("correct horse")->host_ca_fingerprint(), fingerprint);
}

TEST_F(PkiTest, APassphraseThatComesLaterEncryptsWhatWasInClear) {
  auto before = authority()->host_ca_fingerprint();
  std::string clear = sqlite("SELECT hex(substr(private_key, 20, 29)) FROM certificate_authorities WHERE type='host'");
  Bytes needle = from_hex(clear.substr(0, clear.size() - 1)).value();
  auto on_disk = [&] {
    bool found = false;
    for (const char* suffix : {"", "-wal"}) {
      auto content = read_file(path_.string() + suffix);
      found |= content && contains(mezite::to_text(*content), as_text(needle));
    }
    return found;
  };
  EXPECT_TRUE(on_disk());
  EXPECT_EQ(authority("pass")->host_ca_fingerprint(), before);
  EXPECT_FALSE(on_disk()) << "the key is still in the file in clear";
  reopen();
  EXPECT_FALSE(box(""));
  EXPECT_EQ(authority("pass")->host_ca_fingerprint(), before);
}

// Everything under another passphrase at once: keys, salt and check value, on disk and in the box that is open.
TEST_F(PkiTest, ThePassphraseIsChanged) {
  auto before = authority("correct horse")->host_ca_fingerprint();
  auto opened = box("correct horse").value();
  auto also = [](store::Session& transaction) { return store::put_setting(transaction, "also", "yes"); };
  auto change = [&](std::string_view from, std::string_view to) {
    return opened.change_passphrase(*db_, Secret(from), Secret(to), also, crypto::kCheapArgon2);
  };
  EXPECT_EQ(change("wrong", "battery staple").error().code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(change("correct horse", "short").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(change("correct horse", "correct horse").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(sqlite("SELECT value FROM settings WHERE name = 'also'"), "");
  std::string old_key = sqlite("SELECT hex(private_key) FROM certificate_authorities WHERE type = 'host'");
  old_key.pop_back();
  auto changed = change("correct horse", "battery staple");
  ASSERT_TRUE(changed) << changed.error().message;
  EXPECT_EQ(sqlite("SELECT value FROM settings WHERE name = 'also'"), "yes\n");
  // What was sealed with the old key is in the file no more.
  Bytes needle = from_hex(old_key).value();
  for (const char* suffix : {"", "-wal"}) {
    auto content = read_file(path_.string() + suffix);
    EXPECT_FALSE(content && contains(mezite::to_text(*content), as_text(needle))) << suffix;
  }
  EXPECT_TRUE(Authority::open(*db_, opened, *keys_, "example", clock_)) << "the box that was open goes on";
  reopen();
  EXPECT_FALSE(box("correct horse"));
  EXPECT_EQ(authority("battery staple")->host_ca_fingerprint(), before);
}

// One transaction: what fails in it leaves the old passphrase, on disk and in memory.
TEST_F(PkiTest, AChangeOfThePassphraseThatFailsChangesNothing) {
  authority("correct horse");
  auto opened = box("correct horse").value();
  auto also = [](store::Session&) -> Status { return fail(ErrorCode::kIo, "disk full"); };
  EXPECT_FALSE(opened.change_passphrase(*db_, Secret(std::string_view("correct horse")),
                                        Secret(std::string_view("battery staple")), also, crypto::kCheapArgon2));
  EXPECT_TRUE(Authority::open(*db_, opened, *keys_, "example", clock_));
  reopen();
  EXPECT_TRUE(box("correct horse"));
  EXPECT_FALSE(box("battery staple"));
}

TEST_F(PkiTest, NoPassphraseIsThereToChange) {
  authority();
  auto opened = box("").value();
  auto refused = opened.change_passphrase(
      *db_, Secret(std::string_view("x")), Secret(std::string_view("battery staple")),
      [](store::Session&) { return Status(); }, crypto::kCheapArgon2);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
}

TEST_F(PkiTest, TamperedKeysAreRefused) {
  authority("pass");
  // Another CA's sealed key in this one's place, and a key in clear put in by somebody who can write to the file.
  sqlite(
      "UPDATE certificate_authorities SET private_key = (SELECT private_key FROM certificate_authorities WHERE type"
      " = 'user') WHERE type = 'host'");
  auto opened = box("pass").value();
  EXPECT_EQ(Authority::open(*db_, opened, *keys_, "example", clock_).error().code, ErrorCode::kCorrupt);
  sqlite("UPDATE certificate_authorities SET private_key = X'00302E' WHERE type = 'host'");
  EXPECT_EQ(Authority::open(*db_, opened, *keys_, "example", clock_).error().code, ErrorCode::kCorrupt);
  sqlite("DELETE FROM certificate_authorities WHERE type = 'host'");
  auto gone = Authority::open(*db_, opened, *keys_, "example", clock_);
  EXPECT_TRUE(contains(gone.error().message, "no active host CA")) << gone.error().message;
}

TEST_F(PkiTest, HostileKeyParametersAreRefused) {
  authority("pass");
  sqlite("UPDATE secret_box SET memory_kib = 1000000000");
  EXPECT_EQ(box("pass").error().code, ErrorCode::kCorrupt);
}

TEST_F(PkiTest, SecretBoxBindsToItsPlace) {
  auto sealed_box = box("pass").value();
  Bytes stored = sealed_box.seal("a/1", as_bytes("secret")).value();
  EXPECT_EQ(sealed_box.open_sealed("a/1", stored)->text(), "secret");
  EXPECT_EQ(sealed_box.open_sealed("a/2", stored).error().code, ErrorCode::kCorrupt);
  for (std::size_t i = 0; i < stored.size(); ++i) {
    Bytes bad = stored;
    bad[i] ^= 1;
    EXPECT_FALSE(sealed_box.open_sealed("a/1", bad)) << i;
  }
  EXPECT_FALSE(sealed_box.open_sealed("a/1", {}));
}

TEST_F(PkiTest, UserCertificateAsSshKeygenReadsIt) {
  auto ca = authority();
  auto request = alice();
  request.source_address = "::ffff:192.0.2.7";
  request.x11_forwarding = Permit::kNo;
  request.login_time = clock_.now();
  auto certificate = ca->sign_user_certificate(request);
  ASSERT_TRUE(certificate) << certificate.error().message;
  auto trusted = ca->trust_bundle().user_cas;
  ssh::CertificateCheck check{
      .trusted_cas = trusted, .now = clock_.now(), .principal = "root", .source_address = "192.0.2.7"};
  EXPECT_TRUE(ssh::verify_certificate(*certificate, check));
  check.source_address = "192.0.2.8";
  EXPECT_EQ(ssh::verify_certificate(*certificate, check).error().reason, ssh::CertificateRefusalReason::kSourceAddress);
  std::string said = shell("ssh-keygen -L -f " + write("id-cert.pub", certificate->to_text() + "\n").string());
  for (std::string_view part :
       {"user certificate", "Key ID: \"alice\"", "root", "ubuntu", "source-address 192.0.2.7/32", "permit-pty",
        "permit-port-forwarding", "permit-agent-forwarding", "roles@mezite.com", "traits@mezite.com",
        "login-time@mezite.com"}) {
    EXPECT_TRUE(contains(said, part)) << part << "\n" << said;
  }
  EXPECT_FALSE(contains(said, "permit-X11-forwarding"));
  EXPECT_EQ(ssh::option_text(*certificate->find_extension(kRolesExtension)).value(), "[\"access\"]");
  EXPECT_EQ(ssh::option_text(*certificate->find_extension(kTraitsExtension)).value(),
            "{\"logins\":[\"ubuntu\",\"quo\\\"te\"]}");
  EXPECT_EQ(certificate->valid_after(), static_cast<std::uint64_t>(to_unix_seconds(clock_.now() - seconds(60))));
  EXPECT_EQ(certificate->valid_before(), static_cast<std::uint64_t>(to_unix_seconds(clock_.now() + hours(8))));
}

// Vault CVE-2024-7594 (no principals), OpenSSH CVE-2026-35414 (a comma in a principal), and over the limits.
TEST_F(PkiTest, UserCertificatesThatAreNeverSigned) {
  auto ca = authority();
  auto refused = [&](auto change) {
    auto request = alice();
    change(request);
    return !ca->sign_user_certificate(request);
  };
  EXPECT_TRUE(refused([](auto& r) { r.logins.clear(); }));
  for (const char* login : {"", "a,b", "*", "ro?t", "a b", "a\nb", "a\x01"}) {
    EXPECT_TRUE(refused([&](auto& r) { r.logins.push_back(login); })) << login;
  }
  EXPECT_TRUE(refused([](auto& r) { r.logins.push_back(std::string("ro\0ot", 5)); }));
  EXPECT_TRUE(refused([](auto& r) { r.user = ""; }));
  EXPECT_TRUE(refused([](auto& r) { r.user = "al\nice"; }));
  EXPECT_TRUE(refused([](auto& r) { r.ttl = seconds(0); }));
  EXPECT_TRUE(refused([](auto& r) { r.ttl = seconds(-5); }));
  EXPECT_TRUE(refused([](auto& r) { r.ttl = hours(25); }));
  for (const char* address : {"localhost", "1.2.3.4/33", "1.2.3.4,", ",", "fe80::1%eth0", "1.2.3.4/32,x"}) {
    EXPECT_TRUE(refused([&](auto& r) { r.source_address = address; })) << address;
  }
  EXPECT_FALSE(refused([](auto& r) { r.source_address = "10.0.0.0/8, 2001:db8::1"; }));
}

TEST_F(PkiTest, HostCertificateAsSshKeygenReadsIt) {
  auto ca = authority();
  auto certificate = ca->issue_host_certificate({.node_id = "5d0f6c46-0000-4000-8000-000000000001",
                                                 .names = {"Web-01", "web-01.example"},
                                                 .public_key = new_key()});
  ASSERT_TRUE(certificate) << certificate.error().message;
  std::string said = shell("ssh-keygen -L -f " + write("host-cert.pub", certificate->to_text() + "\n").string());
  EXPECT_TRUE(contains(said, "host certificate")) << said;
  EXPECT_TRUE(contains(said, "                web-01\n")) << "lower-case: " << said;
  EXPECT_TRUE(contains(said, "web-01.example"));
  EXPECT_TRUE(contains(said, ca->host_ca_fingerprint()));
  EXPECT_FALSE(ca->issue_host_certificate({.node_id = "x", .names = {"*"}, .public_key = new_key()}));
}

TEST_F(PkiTest, X509AsOpensslChecksIt) {
  auto ca = authority();
  auto key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEd25519).value();
  auto server = ca->issue_server_x509({.public_key_spki = key.public_key().spki(),
                                       .dns_names = {"hub.example.org", "localhost"},
                                       .ip_addresses = {"127.0.0.1", "::1"}});
  ASSERT_TRUE(server) << server.error().message;
  auto agent =
      ca->issue_agent_x509({.node_id = "n1", .node_name = "Web-01", .public_key_spki = key.public_key().spki()});
  ASSERT_TRUE(agent) << agent.error().message;
  std::string root = write("ca.pem", ca->export_public(AuthorityType::kHost, ExportFormat::kX509).value()).string();
  std::string leaf = write("leaf.pem", server->to_pem()).string();
  std::string client = write("agent.pem", agent->to_pem()).string();
  EXPECT_TRUE(
      contains(shell("openssl verify -x509_strict -purpose sslserver -verify_hostname hub.example.org -CAfile " + root +
                     " " + leaf),
               "OK"));
  EXPECT_TRUE(contains(shell("openssl verify -x509_strict -purpose sslclient -CAfile " + root + " " + client), "OK"));
  EXPECT_FALSE(contains(shell("openssl verify -purpose sslclient -CAfile " + root + " " + leaf), ".pem: OK"));
  EXPECT_TRUE(
      contains(shell("openssl x509 -in " + client + " -noout -ext subjectAltName"), "URI:spiffe://example/agent/n1"));
  std::string pin =
      shell("openssl x509 -in " + root + " -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum");
  EXPECT_EQ(pin.substr(0, 64), ca->host_ca_pin());

  EXPECT_EQ(ca->verify_agent_x509(*agent)->node_id, "n1");
  EXPECT_FALSE(ca->verify_agent_x509(*server)) << "a server's certificate is no agent's";
  EXPECT_FALSE(ca->verify_agent_x509(ca->host_ca_certificate()));
  clock_.advance(hours(24 * 31));
  EXPECT_EQ(ca->verify_agent_x509(*agent).error().code, ErrorCode::kUnauthenticated) << "expired";
}

TEST_F(PkiTest, AnotherClustersAgentIsRefused) {
  auto ca = authority();
  auto key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEd25519).value();
  auto theirs_path = folder_ / "other";
  auto other_db = store::Database::open({.path = theirs_path / "mezhub.db", .migrations = store::schema()}).value();
  auto other_box = SecretBox::open(*other_db, Secret(), crypto::kCheapArgon2).value();
  auto other = Authority::open(*other_db, other_box, *keys_, "example", clock_).value();
  auto agent = other->issue_agent_x509({.node_id = "n1", .node_name = "n", .public_key_spki = key.public_key().spki()});
  EXPECT_TRUE(other->verify_agent_x509(*agent));
  EXPECT_EQ(ca->verify_agent_x509(*agent).error().code, ErrorCode::kUnauthenticated);
}

TEST_F(PkiTest, ExportsAndNames) {
  auto ca = authority();
  EXPECT_TRUE(ssh::PublicKey::from_text(ca->export_public(AuthorityType::kUser, ExportFormat::kOpenSsh).value()));
  EXPECT_TRUE(ca->export_public(AuthorityType::kSpiffe, ExportFormat::kX509));
  EXPECT_FALSE(ca->export_public(AuthorityType::kUser, ExportFormat::kX509));
  EXPECT_FALSE(ca->export_public(AuthorityType::kSpiffe, ExportFormat::kOpenSsh));
  EXPECT_FALSE(parse_authority_type("hosts"));
  EXPECT_FALSE(parse_export_format("pem"));
  EXPECT_EQ(parse_authority_type("spiffe").value(), AuthorityType::kSpiffe);
  auto bundle = ca->trust_bundle();
  EXPECT_EQ(bundle.user_cas.size(), 1u);
  EXPECT_EQ(bundle.host_cas.size(), 1u);
  EXPECT_EQ(bundle.host_x509.size(), 1u);
  EXPECT_NE(bundle.user_cas[0], bundle.host_cas[0]);
}

}  // namespace
}  // namespace mezite::pki
