// One key exchange (RFC 4253 §8, RFC 5656 §4 and what builds on them) and the keys that come of it (RFC 4253 §7.2). No
// state machine: transport/ says when each step is due.
#pragma once

#include <memory>
#include <string>

#include "base/bytes.hh"
#include "base/result.hh"
#include "base/secret.hh"
#include "ssh/cipher/packet_cipher.hh"
#include "ssh/kex/key_share.hh"
#include "ssh/kex/negotiation.hh"
#include "ssh/keys/signer.hh"

namespace mezite::ssh {

// What both sides saw before the first message of the method.
struct ExchangePreamble {
  std::string client_version;  // without CR LF
  std::string server_version;
  Bytes client_kexinit;  // whole payloads
  Bytes server_kexinit;
};

// What an exchange leaves behind.
struct ExchangeResult {
  crypto::HashAlgorithm hash_algorithm;
  Bytes hash;     // H, 32 to 64 bytes; the first one is the session id
  Secret secret;  // K as it is hashed: see key_share.hh
};

// Server: the client's value comes in, the hash to sign goes out; the signature may then be made anywhere.
struct ServerExchange {
  ExchangeResult result;
  Bytes server_public;

  // host_key: the blob to show, key or certificate. kProtocol for a bad client value.
  static Result<ServerExchange> run(const KexAlgorithm& kex, const ExchangePreamble& preamble, BytesView host_key,
                                    BytesView client_public);
};

// Client: made when the method is agreed, ended by the server's reply.
class ClientExchange {
 public:
  static Result<ClientExchange> start(const KexAlgorithm& kex);
  BytesView client_public() const { return share_.public_value(); }

  // Checks that the host key is of the agreed algorithm and that it signed this exchange. Says nothing about whose key
  // it is.
  Result<ExchangeResult> finish(const ExchangePreamble& preamble, const PublicKeyAlgorithm& algorithm,
                                BytesView host_key, BytesView server_public, BytesView signature) const;

 private:
  ClientExchange(const KexAlgorithm& kex, ClientKeyShare share) : kex_(&kex), share_(std::move(share)) {}
  const KexAlgorithm* kex_;  // in the table
  ClientKeyShare share_;
};

enum class KeyDirection { kClientToServer, kServerToClient };

// RFC 4253 §7.2.
PacketKeys derive_packet_keys(const ExchangeResult& result, BytesView session_id, KeyDirection direction,
                              const DirectionAgreement& agreed);

}  // namespace mezite::ssh
