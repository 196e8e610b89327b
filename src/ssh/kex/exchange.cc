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

// RFC 4253 §8, RFC 5656 §4: they differ in what the two values and K are, not in their order.
ExchangeResult conclude(const KexAlgorithm& kex, const ExchangePreamble& preamble, BytesView host_key,
                        BytesView client_public, BytesView server_public, Secret secret) {
  crypto::Hasher hasher(kex.hash);
  add_string(hasher, as_bytes(preamble.client_version));
  add_string(hasher, as_bytes(preamble.server_version));
  add_string(hasher, preamble.client_kexinit);
  add_string(hasher, preamble.server_kexinit);
  add_string(hasher, host_key);
  add_string(hasher, client_public);
  add_string(hasher, server_public);
  hasher.update(secret.view());
  return {.hash_algorithm = kex.hash, .hash = hasher.finish(), .secret = std::move(secret)};
}

Secret derive(const ExchangeResult& result, BytesView session_id, char letter, std::size_t size) {
  Secret key;
  if (size == 0) return key;
  crypto::Hasher hasher(result.hash_algorithm);
  const std::array<std::uint8_t, 1> letter_byte{static_cast<std::uint8_t>(letter)};
  hasher.update(result.secret.view()).update(result.hash).update(letter_byte).update(session_id);
  while (true) {
    Bytes block = hasher.finish();
    key.append(block);
    ::explicit_bzero(block.data(), block.size());
    if (key.size() >= size) break;
    hasher.update(result.secret.view()).update(result.hash).update(key.view());
  }
  key.resize(size);
  return key;
}

}  // namespace

Result<ServerExchange> ServerExchange::run(const KexAlgorithm& kex, const ExchangePreamble& preamble,
                                           BytesView host_key, BytesView client_public) {
  MEZ_TRY(auto share, ServerKeyShare::answer(kex, client_public));
  auto result = conclude(kex, preamble, host_key, client_public, share.public_value, std::move(share.secret));
  return ServerExchange{.result = std::move(result), .server_public = std::move(share.public_value)};
}

Result<ClientExchange> ClientExchange::start(const KexAlgorithm& kex) {
  MEZ_TRY(auto share, ClientKeyShare::generate(kex));
  return ClientExchange(kex, std::move(share));
}

Result<ExchangeResult> ClientExchange::finish(const ExchangePreamble& preamble, const PublicKeyAlgorithm& algorithm,
                                              BytesView host_key, BytesView server_public, BytesView signature) const {
  MEZ_TRY(const auto credential, parse_public_credential(host_key));
  const bool certified = std::holds_alternative<Certificate>(credential);
  const PublicKey& key = plain_key(credential);
  if (key.type() != algorithm.type || certified != (algorithm.form == KeyForm::kCertificate)) {
    return fail(ErrorCode::kProtocol, "the server's host key is not of the agreed algorithm {}", algorithm.name);
  }
  MEZ_TRY(auto secret, share_.finish(server_public));
  auto result = conclude(*kex_, preamble, host_key, client_public(), server_public, std::move(secret));
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
