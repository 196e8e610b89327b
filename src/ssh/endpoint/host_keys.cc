#include "ssh/endpoint/host_keys.hh"

#include <algorithm>

#include "ssh/keys/signer.hh"
#include "ssh/wire/reader.hh"
#include "ssh/wire/writer.hh"

namespace mezite::ssh {
namespace {

constexpr std::size_t kMaxSignatureBytes = 4096;

Bytes message_to_sign(BytesView session_id, BytesView key) {
  Bytes message;
  Writer(message).string(as_bytes(kProveHostKeysRequest)).string(session_id).string(key);
  return message;
}

// RFC 8332 keys sign with one of two hashes: what the key exchange agreed on is what the client surely takes.
std::string_view signature_algorithm(const PublicKey& key, std::string_view agreed) {
  const PublicKeyAlgorithm* in_use = find_public_key_algorithm(agreed);
  if (in_use && in_use->type == key.type()) return in_use->signature_name;
  return key.signature_algorithms().front();
}

}  // namespace

Bytes announce_host_keys(const std::vector<HostKey>& host_keys) {
  Bytes payload;
  Writer out(payload);
  for (auto entry = host_keys.begin(); entry != host_keys.end(); ++entry) {
    const PublicKey& key = entry->signer->public_key();
    const auto same = [&](const HostKey& other) { return other.signer->public_key() == key; };
    if (std::find_if(host_keys.begin(), entry, same) == entry) out.string(key.wire());
  }
  return payload;
}

Result<Bytes> prove_host_keys(const std::vector<HostKey>& host_keys, BytesView request, BytesView session_id,
                              std::string_view agreed) {
  // All is looked at before anything is signed.
  std::vector<const Signer*> signers;
  Reader in(request);
  while (in.remaining() > 0) {
    const BytesView blob = in.string();
    if (in.failed()) return fail(ErrorCode::kProtocol, "malformed {}", kProveHostKeysRequest);
    const auto entry = std::ranges::find_if(host_keys, [&](const HostKey& host_key) {
      return std::ranges::equal(host_key.signer->public_key().wire(), blob);
    });
    if (entry == host_keys.end()) return fail(ErrorCode::kInvalidArgument, "a proof for a foreign host key");
    if (std::ranges::find(signers, entry->signer.get()) != signers.end()) {
      return fail(ErrorCode::kInvalidArgument, "a host key is to be proven twice");
    }
    signers.push_back(entry->signer.get());
  }
  if (signers.empty()) return fail(ErrorCode::kInvalidArgument, "no host key is asked for");
  Bytes reply;
  for (const Signer* signer : signers) {
    const PublicKey& key = signer->public_key();
    MEZ_TRY(const Bytes signature,
            signer->sign(signature_algorithm(key, agreed), message_to_sign(session_id, key.wire())));
    Writer(reply).string(signature);
  }
  return reply;
}

std::vector<PublicKey> parse_host_keys(BytesView announcement) {
  std::vector<PublicKey> keys;
  Reader in(announcement);
  for (std::size_t i = 0; i < kMaxHostKeys && in.remaining() > 0; ++i) {
    const BytesView blob = in.string();
    if (in.failed()) break;
    auto key = PublicKey::from_wire(blob);
    if (key && std::ranges::find(keys, *key) == keys.end()) keys.push_back(std::move(*key));
  }
  return keys;
}

Bytes ask_for_host_keys(const std::vector<PublicKey>& keys) {
  Bytes payload;
  Writer out(payload);
  for (const PublicKey& key : keys) out.string(key.wire());
  return payload;
}

Status check_host_key_proofs(const std::vector<PublicKey>& keys, BytesView reply, BytesView session_id) {
  Reader in(reply);
  for (const PublicKey& key : keys) {
    const BytesView signature = in.string();
    if (in.failed() || signature.size() > kMaxSignatureBytes) {
      return fail(ErrorCode::kProtocol, "malformed answer to {}", kProveHostKeysRequest);
    }
    const Bytes message = message_to_sign(session_id, key.wire());
    const auto verifies = [&](std::string_view algorithm) {
      return key.verify(algorithm, message, signature).has_value();
    };
    if (std::ranges::none_of(key.signature_algorithms(), verifies)) {
      return fail(ErrorCode::kUnauthenticated, "the server does not hold host key {}, which it announced",
                  key.fingerprint());
    }
  }
  return in.finish(kProveHostKeysRequest);
}

}  // namespace mezite::ssh
