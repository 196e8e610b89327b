// What holds for every certificate: it is read back as it was asked for, and any bit of it counts.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/text.hh"
#include "ssh/keys/certificate_check.hh"
#include "ssh/keys/private_key.hh"
#include "ssh/keys/test_authenticator.hh"

namespace mezite::ssh {
namespace {

constexpr KeyType kTypes[] = {KeyType::kEd25519, KeyType::kEcdsaP256, KeyType::kEcdsaP384,  KeyType::kEcdsaP521,
                              KeyType::kRsa,     KeyType::kSkEd25519, KeyType::kSkEcdsaP256};

const Signer& signer(KeyType type) {
  static const auto all = [] {
    std::map<KeyType, std::unique_ptr<Signer>> made;
    for (const KeyType each : kTypes) {
      if (is_fido(each)) {
        made[each] = std::make_unique<testing_tools::TestAuthenticator>(each);
      } else {
        made[each] = std::make_unique<PrivateKey>(*PrivateKey::generate(each, 2048));
      }
    }
    return made;
  }();
  return *all.at(type);
}

std::string word(std::string_view alphabet, int max) {
  const auto letters =
      *rc::gen::resize(max, rc::gen::container<std::string>(rc::gen::elementOf(std::string(alphabet))));
  return letters.empty() ? std::string(alphabet.substr(0, 1)) : letters;
}

CertificateOptions some_options() {
  CertificateOptions options;
  std::set<std::string> names;
  for (int i = *rc::gen::inRange(0, 6); i > 0; --i) {
    const std::string name = word("abcdefghijklmnopqrstuvwxyz-@.", 20);
    if (names.insert(name).second) options.emplace_back(name, *rc::gen::arbitrary<Bytes>());
  }
  return options;
}

CertificateRequest some_request(KeyType subject) {
  CertificateRequest request{.public_key = signer(subject).public_key()};
  request.type = *rc::gen::element(CertificateType::kUser, CertificateType::kHost);
  request.key_id = word("abcxyzABCXYZ0189 ,;<>é/\\\"'", 40);
  if (!is_valid_utf8(request.key_id)) request.key_id = "é";
  for (int i = *rc::gen::inRange(1, 8); i > 0; --i) {
    request.principals.push_back(word("abcxyzABC019-_.@/", 30) + std::to_string(i));
  }
  const auto start = *rc::gen::inRange<std::int64_t>(0, 4'000'000'000);
  request.valid_after = from_unix_seconds(start);
  request.valid_before = from_unix_seconds(start + *rc::gen::inRange<std::int64_t>(1, 4'000'000'000));
  request.critical_options = some_options();
  request.extensions = some_options();
  return request;
}

RC_GTEST_PROP(CertificateProperty, WhatIsSignedIsReadBack, ()) {
  const KeyType subject = *rc::gen::elementOf(std::vector<KeyType>(std::begin(kTypes), std::end(kTypes)));
  const KeyType ca = *rc::gen::elementOf(std::vector<KeyType>(std::begin(kTypes), std::end(kTypes)));
  CertificateRequest request = some_request(subject);
  const auto signed_one = sign_certificate(request, signer(ca));
  RC_ASSERT(signed_one.has_value());
  for (const auto& again :
       {Certificate::from_wire(signed_one->wire()), Certificate::from_text(signed_one->to_text())}) {
    RC_ASSERT(again.has_value());
    RC_ASSERT(*again == *signed_one);
    RC_ASSERT(again->public_key() == request.public_key);
    RC_ASSERT(again->signature_key() == signer(ca).public_key());
    RC_ASSERT(again->type() == request.type);
    RC_ASSERT(again->key_id() == request.key_id);
    RC_ASSERT(again->valid_principals() == request.principals);
    RC_ASSERT(from_unix_seconds(static_cast<std::int64_t>(again->valid_after())) == request.valid_after);
    RC_ASSERT(from_unix_seconds(static_cast<std::int64_t>(again->valid_before())) == request.valid_before);
    std::ranges::sort(request.critical_options);
    std::ranges::sort(request.extensions);
    RC_ASSERT(again->critical_options() == request.critical_options);
    RC_ASSERT(again->extensions() == request.extensions);
    RC_ASSERT(again->signature_key().verify(signer(ca).public_key().signature_algorithms().front(),
                                            again->signed_part(), again->signature()));
  }
}

RC_GTEST_PROP(CertificateProperty, NoChangedBitIsTaken, ()) {
  const KeyType subject = *rc::gen::elementOf(std::vector<KeyType>(std::begin(kTypes), std::end(kTypes)));
  const KeyType ca = *rc::gen::elementOf(std::vector<KeyType>(std::begin(kTypes), std::end(kTypes)));
  CertificateRequest request = some_request(subject);
  request.critical_options.clear();
  const auto good = sign_certificate(request, signer(ca));
  RC_ASSERT(good.has_value());
  const std::vector<PublicKey> cas{signer(ca).public_key()};
  const CertificateCheck check{.type = request.type, .trusted_cas = cas, .now = request.valid_after};
  RC_ASSERT(verify_certificate(*good, check).has_value());
  Bytes damaged = good->wire();
  const auto bit = *rc::gen::inRange<std::size_t>(0, damaged.size() * 8);
  damaged[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
  const auto parsed = Certificate::from_wire(damaged);
  const bool taken = parsed && verify_certificate(*parsed, check);  // RC_ASSERT's || evaluates both sides
  RC_ASSERT(!taken);
}

// The same for all of the bits of one certificate. The larger curves are too slow for that, and differ in nothing else.
TEST(CertificateProperty, EveryBitCountsUnderEachKindOfAuthority) {
  for (const KeyType type : {KeyType::kEd25519, KeyType::kEcdsaP256, KeyType::kRsa, KeyType::kSkEd25519}) {
    const auto good = sign_certificate({.public_key = signer(KeyType::kEd25519).public_key(),
                                        .key_id = "a",
                                        .principals = {"b"},
                                        .valid_after = from_unix_seconds(10),
                                        .valid_before = from_unix_seconds(20)},
                                       signer(type));
    ASSERT_TRUE(good);
    const std::vector<PublicKey> cas{signer(type).public_key()};
    const CertificateCheck check{.trusted_cas = cas, .now = from_unix_seconds(15)};
    ASSERT_TRUE(verify_certificate(*good, check));
    Bytes damaged = good->wire();
    for (std::size_t bit = 0; bit < damaged.size() * 8; ++bit) {
      damaged[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      const auto parsed = Certificate::from_wire(damaged);
      EXPECT_TRUE(!parsed || !verify_certificate(*parsed, check)) << static_cast<int>(type) << " " << bit;
      damaged[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    }
  }
}

}  // namespace
}  // namespace mezite::ssh
