#include "ssh/kex/key_share.hh"

#include <gtest/gtest.h>

#include <string>

#include "crypto/hash.hh"
#include "crypto/mlkem768.hh"
#include "crypto/sntrup761.hh"

namespace mezite::ssh {
namespace {

Bytes joined(BytesView a, BytesView b) {
  Bytes out = to_bytes(a);
  out.insert(out.end(), b.begin(), b.end());
  return out;
}

void expect_refused(const Result<ServerKeyShare>& result) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kProtocol);
}

TEST(KeyShare, BothSidesGetTheSameSecret) {
  for (const auto& kex : kex_algorithms()) {
    SCOPED_TRACE(std::string(kex.name));
    const auto client = ClientKeyShare::generate(kex);
    ASSERT_TRUE(client);
    const auto server = ServerKeyShare::answer(kex, client->public_value());
    ASSERT_TRUE(server) << server.error().message;
    const auto secret = client->finish(server->public_value);
    ASSERT_TRUE(secret) << secret.error().message;
    EXPECT_EQ(to_hex(secret->view()), to_hex(server->secret.view()));
  }
}

// draft-ietf-sshm-mlkem-hybrid-kex §2.4, draft-ietf-sshm-ntruprime-ssh §3: K is a string and not an mpint, of the size
// of the hash; the values are those of the KEM and the curve without lengths.
TEST(KeyShare, HybridSecretIsTheStringOfAHashOfBoth) {
  for (const auto* name : {"mlkem768x25519-sha256", "sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com"}) {
    const auto& kex = *find_kex_algorithm(name);
    const bool mlkem = kex.kem == KexKem::kMlKem768;
    const auto own = *crypto::KeyAgreement::generate(crypto::KeyAgreementGroup::kX25519);
    auto pair = crypto::mlkem768::generate();
    auto ntru_pair = crypto::sntrup761::generate();
    const auto server = ServerKeyShare::answer(
        kex, joined(mlkem ? BytesView(pair.public_key) : BytesView(ntru_pair.public_key), own.public_value()));
    ASSERT_TRUE(server);
    const std::size_t split = mlkem ? 1088 : 1039;
    ASSERT_EQ(server->public_value.size(), split + 32);
    const auto value = BytesView(server->public_value);
    const auto kem_secret = mlkem ? crypto::mlkem768::decapsulate(pair.private_key.view(), value.first(split))
                                  : crypto::sntrup761::decapsulate(ntru_pair.private_key.view(), value.first(split));
    const auto agreed = own.agree(value.last(32));
    ASSERT_TRUE(kem_secret && agreed);
    const Bytes both = joined(kem_secret->view(), agreed->view());
    const Bytes digest = crypto::hash(mlkem ? crypto::HashAlgorithm::kSha256 : crypto::HashAlgorithm::kSha512, both);
    EXPECT_EQ(to_hex(server->secret.view()), (mlkem ? "00000020" : "00000040") + to_hex(digest));
  }
}

TEST(KeyShare, WrongLengthsAreRefused) {
  for (const auto& kex : kex_algorithms()) {
    SCOPED_TRACE(std::string(kex.name));
    if (kex.roles == KexRoles::kClient) continue;  // numbers: below
    const auto client = ClientKeyShare::generate(kex);
    const auto server = ServerKeyShare::answer(kex, client->public_value());
    ASSERT_TRUE(client && server);
    const Bytes value = to_bytes(client->public_value());
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, value.size() - 1, value.size() - 32}) {
      expect_refused(ServerKeyShare::answer(kex, BytesView(value).first(size)));
      EXPECT_FALSE(client->finish(BytesView(server->public_value).first(std::min(size, value.size() / 2))));
    }
    expect_refused(ServerKeyShare::answer(kex, joined(value, Bytes(1))));
    expect_refused(ServerKeyShare::answer(kex, Bytes(60'000, 9)));
    EXPECT_FALSE(client->finish(joined(server->public_value, Bytes(1))));
    EXPECT_FALSE(client->finish({}));
  }
}

TEST(KeyShare, LowOrderPointsInHybridMethodsAreRefused) {
  for (const auto& kex : kex_algorithms()) {
    if (kex.kem == KexKem::kNone) continue;
    const auto client = ClientKeyShare::generate(kex);
    const auto server = ServerKeyShare::answer(kex, client->public_value());
    ASSERT_TRUE(client && server);
    for (const std::uint8_t x : {std::uint8_t{0}, std::uint8_t{1}}) {
      Bytes value = to_bytes(client->public_value());
      std::fill(value.end() - 32, value.end(), 0);
      *(value.end() - 32) = x;
      expect_refused(ServerKeyShare::answer(kex, value));
      Bytes reply = server->public_value;
      std::fill(reply.end() - 32, reply.end(), 0);
      *(reply.end() - 32) = x;
      EXPECT_FALSE(client->finish(reply));
    }
  }
}

// FIPS 203 §7.2.
TEST(KeyShare, UnreducedMlKemKeysAreRefused) {
  const auto& kex = *find_kex_algorithm("mlkem768x25519-sha256");
  const auto client = ClientKeyShare::generate(kex);
  ASSERT_TRUE(client);
  for (const std::size_t coefficient : {0, 767}) {
    Bytes value = to_bytes(client->public_value());
    value[coefficient / 2 * 3 + 1] = 0xff;
    value[coefficient / 2 * 3 + (coefficient % 2 == 0 ? 0 : 2)] = 0xff;
    expect_refused(ServerKeyShare::answer(kex, value));
  }
}

// RFC 4251 §5: negative, padded and empty mpints in place of a public value.
TEST(KeyShare, MalformedNumbersAreRefused) {
  const auto& kex = *find_kex_algorithm("diffie-hellman-group14-sha256");
  const auto client = ClientKeyShare::generate(kex);
  ASSERT_TRUE(client);
  for (const Bytes& value : {Bytes{}, Bytes{0}, Bytes{1}, Bytes{0x80}, Bytes{0, 2}, Bytes(256, 0xff), Bytes(257, 0)}) {
    const auto result = client->finish(value);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kProtocol);
  }
  EXPECT_TRUE(client->finish(Bytes{4}));
}

}  // namespace
}  // namespace mezite::ssh
