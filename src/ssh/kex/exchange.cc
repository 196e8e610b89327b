#include "ssh/kex/exchange.hh"

#include <array>

#include "ssh/keys/certificate.hh"

namespace mezite::ssh {

namespace {

std::array<std::uint8_t, 4> big_endian(std::uint32_t value) {
  return {static_cast<std::uint8_t>(value >> 24), static_cast<std::uint8_t>(value >> 16),
          static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
}

void add_string(crypto::Hasher& hasher, BytesView bytes) {
  hasher.update(big_endian(static_cast<std::uint32_t>(bytes.size()))).update(bytes);
}

// As Writer::mpint(), into memory that wipes itself.
Secret to_mpint(const Secret& magnitude) {
  BytesView digits = magnitude.view();
  while (!digits.empty() && digits.front() == 0) digits = digits.subspan(1);
  const bool sign_byte = !digits.empty() && (digits.front() & 0x80) != 0;
  Secret number(big_endian(static_cast<std::uint32_t>(digits.size() + (sign_byte ? 1 : 0))));
  if (sign_byte) number.append(std::array<std::uint8_t, 1>{0});
  number.append(digits);
  return number;
}

// RFC 5656 §4.
ExchangeResult conclude(const ExchangePreamble& preamble, BytesView host_key, BytesView client_public,
                        BytesView server_public, const Secret& shared) {
  ExchangeResult result{.hash = {}, .shared_mpint = to_mpint(shared)};
  crypto::Hasher hasher(crypto::HashAlgorithm::kSha256);
  add_string(hasher, as_bytes(preamble.client_version));
  add_string(hasher, as_bytes(preamble.server_version));
  add_string(hasher, preamble.client_kexinit);
  add_string(hasher, preamble.server_kexinit);
  add_string(hasher, host_key);
  add_string(hasher, client_public);
  add_string(hasher, server_public);
  hasher.update(result.shared_mpint.view());
  const Bytes digest = hasher.finish();
  std::copy(digest.begin(), digest.end(), result.hash.begin());
  return result;
}

Secret derive(const ExchangeResult& result, BytesView session_id, char letter, std::size_t size) {
  Secret key;
  if (size == 0) return key;
  crypto::Hasher hasher(crypto::HashAlgorithm::kSha256);
  const std::array<std::uint8_t, 1> letter_byte{static_cast<std::uint8_t>(letter)};
  hasher.update(result.shared_mpint.view()).update(result.hash).update(letter_byte).update(session_id);
  while (true) {
    Bytes block = hasher.finish();
    key.append(block);
    ::explicit_bzero(block.data(), block.size());
    if (key.size() >= size) break;
    hasher.update(result.shared_mpint.view()).update(result.hash).update(key.view());
  }
  key.resize(size);
  return key;
}

}  // namespace

Result<ServerExchange> ServerExchange::run(const KexAlgorithm& kex, const ExchangePreamble& preamble,
                                           BytesView host_key, BytesView client_public) {
  MEZ_TRY(const auto agreement, crypto::KeyAgreement::generate(kex.group));
  MEZ_TRY(const auto shared, agreement.agree(client_public));
  return ServerExchange{.result = conclude(preamble, host_key, client_public, agreement.public_value(), shared),
                        .server_public = to_bytes(agreement.public_value())};
}

Result<ClientExchange> ClientExchange::start(const KexAlgorithm& kex) {
  MEZ_TRY(auto agreement, crypto::KeyAgreement::generate(kex.group));
  return ClientExchange(std::move(agreement));
}

Result<ExchangeResult> ClientExchange::finish(const ExchangePreamble& preamble, const PublicKeyAlgorithm& algorithm,
                                              BytesView host_key, BytesView server_public, BytesView signature) const {
  MEZ_TRY(const auto credential, parse_public_credential(host_key));
  const bool certified = std::holds_alternative<Certificate>(credential);
  const PublicKey& key = plain_key(credential);
  if (key.type() != algorithm.type || certified != (algorithm.form == KeyForm::kCertificate)) {
    return fail(ErrorCode::kProtocol, "the server's host key is not of the agreed algorithm {}", algorithm.name);
  }
  MEZ_TRY(const auto shared, agreement_.agree(server_public));
  auto result = conclude(preamble, host_key, client_public(), server_public, shared);
  MEZ_CHECK(key.verify(algorithm.signature_name, result.hash, signature));
  return result;
}

PacketKeys derive_packet_keys(const ExchangeResult& result, BytesView session_id, KeyDirection direction,
                              const DirectionAgreement& agreed) {
  const bool from_client = direction == KeyDirection::kClientToServer;
  return {
      .iv = derive(result, session_id, from_client ? 'A' : 'B', agreed.cipher->iv_bytes),
      .key = derive(result, session_id, from_client ? 'C' : 'D', agreed.cipher->key_bytes),
      .mac_key = derive(result, session_id, from_client ? 'E' : 'F', agreed.mac == nullptr ? 0 : agreed.mac->key_bytes),
  };
}

}  // namespace mezite::ssh
