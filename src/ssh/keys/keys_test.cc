#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <time.h>

#include <chrono>

#include "crypto/random.hh"
#include "ssh/keys/identity.hh"
#include "ssh/keys/private_key.hh"
#include "ssh/keys/public_key.hh"
#include "ssh/keys/test_tools.hh"

namespace mezite::ssh {
namespace {

using testing::HasSubstr;
using testing_tools::TemporaryFolder;

// Of this thread.
std::chrono::nanoseconds cpu_time() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

struct Kind {
  KeyType type;
  int bits;
  const char* keygen;  // arguments
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.keygen; }

const Kind kKinds[] = {{KeyType::kEd25519, 0, "-t ed25519"},
                       {KeyType::kEcdsaP256, 0, "-t ecdsa -b 256"},
                       {KeyType::kEcdsaP384, 0, "-t ecdsa -b 384"},
                       {KeyType::kEcdsaP521, 0, "-t ecdsa -b 521"},
                       {KeyType::kRsa, 2048, "-t rsa -b 2048"}};

class KeysTest : public testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(All, KeysTest, testing::ValuesIn(kKinds));

TEST_P(KeysTest, SignAndVerify) {
  const auto key = *PrivateKey::generate(GetParam().type, 2048);
  const auto& public_key = key.public_key();
  for (const auto algorithm : public_key.signature_algorithms()) {
    const Bytes signature = *key.sign(algorithm, as_bytes("data"));
    EXPECT_TRUE(public_key.verify(algorithm, as_bytes("data"), signature));
    EXPECT_FALSE(public_key.verify(algorithm, as_bytes("date"), signature));
    EXPECT_FALSE(
        PrivateKey::generate(GetParam().type, 2048)->public_key().verify(algorithm, as_bytes("data"), signature));
    Bytes longer = signature;
    longer.push_back(0);
    EXPECT_FALSE(public_key.verify(algorithm, as_bytes("data"), longer));
    for (std::size_t size = 0; size < signature.size(); ++size) {
      EXPECT_FALSE(public_key.verify(algorithm, as_bytes("data"), BytesView(signature).first(size)));
    }
    for (const auto& other : public_key_algorithms()) {
      if (other.signature_name != algorithm) {
        EXPECT_FALSE(public_key.verify(other.signature_name, as_bytes("data"), signature));
      }
    }
  }
  EXPECT_FALSE(key.sign("ssh-rsa", as_bytes("data")));
  EXPECT_FALSE(key.sign("", as_bytes("data")));
}

TEST_P(KeysTest, WireAndTextRoundTrip) {
  const auto key = *PrivateKey::generate(GetParam().type, 2048);
  const auto again = PublicKey::from_wire(key.public_key().wire());
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, key.public_key());
  const std::string line = again->to_text("alice@laptop of hers");
  EXPECT_EQ(*PublicKey::from_text(line), *again);
  EXPECT_EQ(public_key_comment(line), "alice@laptop of hers");
  EXPECT_FALSE(PublicKey::from_text("ssh-dss " + to_base64(again->wire())));
  Bytes wire = again->wire();
  for (std::size_t size = 0; size < wire.size(); ++size)
    EXPECT_FALSE(PublicKey::from_wire(BytesView(wire).first(size)));
  wire.push_back(0);
  EXPECT_FALSE(PublicKey::from_wire(wire));
  const auto from_pkcs8 = PrivateKey::from_pkcs8(key.to_pkcs8()->view());
  ASSERT_TRUE(from_pkcs8);
  EXPECT_EQ(from_pkcs8->public_key(), key.public_key());
}

TEST_P(KeysTest, SshKeygenReadsOurs) {
  const auto key = *PrivateKey::generate(GetParam().type, 2048);
  const TemporaryFolder folder;
  folder.put("id", key.to_openssh_pem("a comment")->text());
  folder.put("id.pub", key.public_key().to_text("a comment") + "\n");
  const auto derived = folder.run("ssh-keygen -y -f id");
  EXPECT_EQ(derived.status, 0) << derived.output;
  EXPECT_EQ(derived.output, key.public_key().to_text("a comment") + "\n");
  EXPECT_THAT(folder.run("ssh-keygen -l -f id.pub").output, HasSubstr(key.public_key().fingerprint() + " a comment"));
  const auto again = PrivateKey::from_pem(folder.get("id"));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->public_key(), key.public_key());
}

TEST_P(KeysTest, WeReadSshKeygens) {
  const TemporaryFolder folder;
  ASSERT_EQ(folder.run(std::string("ssh-keygen -q -N '' -C hello -f id ") + GetParam().keygen).status, 0);
  const auto key = PrivateKey::from_pem(folder.get("id"));
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(key->public_key().to_text("hello") + "\n", folder.get("id.pub"));
  const auto algorithm = key->public_key().signature_algorithms().front();
  EXPECT_TRUE(key->public_key().verify(algorithm, as_bytes("x"), *key->sign(algorithm, as_bytes("x"))));

  ASSERT_EQ(folder.run("ssh-keygen -q -p -N secret -f id").status, 0);
  const auto encrypted = PrivateKey::from_pem(folder.get("id"));
  ASSERT_FALSE(encrypted);
  EXPECT_EQ(encrypted.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(encrypted.error().message, HasSubstr("ssh-keygen -p"));
}

TEST(PrivateKeyTest, Pkcs8FilesOfOpenssl) {
  const TemporaryFolder folder;
  for (const char* command :
       {"openssl genpkey -algorithm ed25519", "openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256",
        "openssl ecparam -name prime256v1 -genkey -noout", "openssl genrsa -traditional 2048"}) {
    ASSERT_EQ(folder.run(std::string(command) + " > id").status, 0);
    const auto key = PrivateKey::from_pem(folder.get("id"));
    EXPECT_TRUE(key) << command;
  }
  ASSERT_EQ(folder.run("openssl genpkey -algorithm ed25519 -aes256 -pass pass:secret > id").status, 0);
  const auto encrypted = PrivateKey::from_pem(folder.get("id"));
  ASSERT_FALSE(encrypted);
  EXPECT_EQ(encrypted.error().code, ErrorCode::kFailedPrecondition);
}

TEST(PrivateKeyTest, DamagedFilesAreErrors) {
  const std::string pem(PrivateKey::generate(KeyType::kEd25519)->to_openssh_pem("c")->text());
  for (std::size_t at = 0; at + 1 < pem.size(); ++at) {  // all but the last line feed
    std::string cut = pem.substr(0, at);
    EXPECT_FALSE(PrivateKey::from_pem(cut)) << at;
    std::string changed = pem;
    changed[at] = changed[at] == '\x01' ? '\x02' : '\x01';
    (void)PrivateKey::from_pem(changed);  // must not crash; blanks around the base64 do not matter
  }
  EXPECT_FALSE(PrivateKey::from_pem(std::string(1 << 20, 'A')));
}

// bad-input.md: "Keys with wrong lengths, degenerate or enormous numbers – refused in under 5 ms of CPU".
TEST(PublicKeyTest, HostileKeysAreRefusedCheaply) {
  const auto rsa = [](BytesView e, BytesView n) {
    Bytes wire;
    Writer(wire).string("ssh-rsa").mpint(e).mpint(n);
    return wire;
  };
  const auto ecdsa = [](std::string_view name, std::string_view curve, BytesView point) {
    Bytes wire;
    Writer(wire).string(name).string(curve).string(point);
    return wire;
  };
  const auto ed25519 = [](std::size_t size) {
    Bytes wire;
    Writer(wire).string("ssh-ed25519").string(Bytes(size, 1));
    return wire;
  };
  const Bytes e{1, 0, 1};
  Bytes even(256, 0xff);
  even.back() = 0xf0;
  Bytes off_curve(65, 7);
  off_curve[0] = 4;
  Bytes compressed(33, 7);
  compressed[0] = 2;
  const std::vector<Bytes> hostile = {
      {},
      Bytes(3),
      Bytes(1 << 20, 0xff),
      rsa(e, Bytes(64, 0xff)),
      rsa(e, Bytes(127, 0xff)),
      rsa(e, Bytes(2049, 0xff)),
      rsa(e, Bytes(100000, 0xff)),
      rsa(e, {}),
      rsa({}, Bytes(256, 0xff)),
      rsa(Bytes{1}, Bytes(256, 0xff)),
      rsa(Bytes{2}, Bytes(256, 0xff)),
      rsa(Bytes(256, 0xff), Bytes(256, 0xff)),
      rsa(e, even),
      ed25519(0),
      ed25519(31),
      ed25519(33),
      ed25519(64),
      ecdsa("ecdsa-sha2-nistp256", "nistp256", {}),
      ecdsa("ecdsa-sha2-nistp256", "nistp256", Bytes(1)),
      ecdsa("ecdsa-sha2-nistp256", "nistp256", Bytes(65)),
      ecdsa("ecdsa-sha2-nistp256", "nistp256", off_curve),
      ecdsa("ecdsa-sha2-nistp256", "nistp256", compressed),
      ecdsa("ecdsa-sha2-nistp256", "nistp384", off_curve),
      ecdsa("ecdsa-sha2-nistp384", "nistp384", off_curve),
      ecdsa("ssh-dss", "nistp256", off_curve),
  };
  for (std::size_t i = 0; i < hostile.size(); ++i) {
    const auto start = cpu_time();
    EXPECT_FALSE(PublicKey::from_wire(hostile[i])) << i;
    EXPECT_LT(cpu_time() - start, std::chrono::milliseconds(5)) << i;
  }
}

// The largest numbers that are taken: reading the key and refusing a signature stay as cheap.
TEST(PublicKeyTest, TheLargestRsaKeyIsCheapToo) {
  Bytes modulus(2048, 0xa5);
  modulus.back() = 0xff;
  Bytes wire;
  Writer(wire).string("ssh-rsa").mpint(Bytes(4, 0xff)).mpint(modulus);
  Bytes signature;
  Writer(signature).string("rsa-sha2-512").string(Bytes(2048, 0x5a));
  const auto warm = PublicKey::from_wire(wire);  // the first use of RSA loads tables
  ASSERT_TRUE(warm);
  EXPECT_FALSE(warm->verify("rsa-sha2-512", as_bytes("data"), signature));
  const auto start = cpu_time();
  const auto key = PublicKey::from_wire(wire);
  ASSERT_TRUE(key);
  EXPECT_FALSE(key->verify("rsa-sha2-512", as_bytes("data"), signature));
  EXPECT_LT(cpu_time() - start, std::chrono::milliseconds(5));
}

TEST(PublicKeyTest, Sha1IsNeverTaken) {
  const auto key = *PrivateKey::generate(KeyType::kRsa, 2048);
  Bytes signature;
  const Bytes good = *key.sign("rsa-sha2-256", as_bytes("x"));
  Reader in(good);
  in.string();
  Writer(signature).string("ssh-rsa").string(in.string());
  EXPECT_FALSE(key.public_key().verify("ssh-rsa", as_bytes("x"), signature));
  EXPECT_FALSE(key.public_key().verify("rsa-sha2-256", as_bytes("x"), signature));
  EXPECT_EQ(find_public_key_algorithm("ssh-rsa"), nullptr);
  EXPECT_EQ(find_public_key_algorithm("ssh-rsa-cert-v01@openssh.com"), nullptr);
}

// x/crypto's and OpenSSH's check: numbers of a signature must be positive and no wider than the curve.
TEST(PublicKeyTest, DegenerateEcdsaSignaturesAreRefused) {
  const auto key = *PrivateKey::generate(KeyType::kEcdsaP256);
  const auto blob = [](BytesView r, BytesView s) {
    Bytes pair, out;
    Writer(pair).mpint(r).mpint(s);
    Writer(out).string("ecdsa-sha2-nistp256").string(pair);
    return out;
  };
  for (const auto& signature :
       {blob({}, {}), blob(Bytes{1}, {}), blob({}, Bytes{1}), blob(Bytes(32, 0xff), Bytes(32, 0xff)),
        blob(Bytes(33, 0xff), Bytes{1}), blob(Bytes(10000, 0xff), Bytes(10000, 0xff))}) {
    EXPECT_FALSE(key.public_key().verify("ecdsa-sha2-nistp256", as_bytes("x"), signature));
  }
}

TEST(AlgorithmTest, TableIsConsistent) {
  for (const auto& algorithm : public_key_algorithms()) {
    EXPECT_EQ(find_public_key_algorithm(algorithm.name), &algorithm);
    EXPECT_EQ(algorithm.key_name, algorithm.form == KeyForm::kPlain ? plain_key_name(algorithm.type)
                                                                    : certificate_key_name(algorithm.type));
    const auto names = signature_algorithms(algorithm.type);
    EXPECT_NE(std::find(names.begin(), names.end(), algorithm.signature_name), names.end());
  }
}

}  // namespace
}  // namespace mezite::ssh
