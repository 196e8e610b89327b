#include "auth/rpc/sealed.hh"

#include "auth/rpc/sealed_statement.hh"
#include "base/text.hh"
#include "crypto/hash.hh"
#include "mezite/v1/agent.pb.h"
#include "net/sealed_labels.hh"

namespace mezite::auth::rpc {
Result<SealedCalls::Opened> SealedCalls::open(const v1::SealedCall& call, std::string_view client_ip) {
  MEZ_TRY(const v1::CallStatement statement, read_statement(call));
  Opened opened{.method = statement.method(), .caller = {}};
  opened.caller.client_ip = std::string(client_ip);
  if (call.certificate().empty()) return opened;
  if (statement.audience() != services_.cluster_name()) return not_taken("it is for another cluster");
  MEZ_TRY(auto certificate, crypto::X509Certificate::from_der(as_bytes(call.certificate())));
  MEZ_TRY(opened.caller, caller_of_certificate(services_, certificate.to_pem(), client_ip));
  MEZ_TRY(crypto::VerifyingKey key, certificate.public_key());
  if (key.algorithm() != crypto::KeyAlgorithm::kEcdsaP256)
    return not_taken("its key is not of the kind that agents have");
  std::string is_signed = net::kSealedCallLabel + call.statement();
  if (!key.verify(crypto::SignatureHash::kSha256, as_bytes(is_signed), as_bytes(call.proof()))) {
    return not_taken("it is not signed by the key of its certificate");
  }
  // After the signature: nobody else can use up a node's nonces.
  MEZ_CHECK(window_.take(opened.caller.name, statement.nonce(), from_unix_millis(statement.time_ms())));
  return opened;
}

std::string SealedCalls::claimed_node(const v1::SealedCall& call) {
  constexpr std::size_t kMostBytes = 128;
  if (call.certificate().empty() || call.certificate().size() > kMaxCertificateBytes) return {};
  auto certificate = crypto::X509Certificate::from_der(as_bytes(call.certificate()));
  if (!certificate) return {};
  const auto uris = certificate->uris();
  if (uris.empty()) return {};
  const std::size_t slash = uris[0].rfind('/');
  return printable(uris[0].substr(slash == std::string::npos ? 0 : slash + 1, kMostBytes));
}

Status SealedCalls::seal(const v1::SealedCall& call, std::string response, v1::SealedAnswer& answer) {
  MEZ_TRY(const auto hub, certificates_->get());
  v1::AnswerStatement statement;
  statement.set_call_sha256(to_text(crypto::sha256(as_bytes(call.statement()))));
  statement.set_response_sha256(to_text(crypto::sha256(as_bytes(response))));
  answer.set_statement(statement.SerializeAsString());
  answer.set_response(std::move(response));
  for (const crypto::X509Certificate& each : hub->identity.chain) answer.add_chain(to_text(each.to_der()));
  std::string to_sign = net::kSealedAnswerLabel + answer.statement();
  MEZ_TRY(Bytes signature, hub->identity.key.sign(crypto::SignatureHash::kSha256, as_bytes(to_sign)));
  answer.set_signature(to_text(signature));
  return {};
}

}  // namespace mezite::auth::rpc
