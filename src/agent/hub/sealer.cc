#include "agent/hub/sealer.hh"

#include <algorithm>

#include "agent/hub/hub_tls.hh"
#include "base/text.hh"
#include "crypto/hash.hh"
#include "crypto/random.hh"
#include "mezite/v1/agent.pb.h"
#include "net/sealed_labels.hh"

namespace mezite::agent {
namespace {

constexpr int kMaxChain = 8;

std::string sha256_of(BytesView bytes) { return to_text(crypto::sha256(bytes)); }

std::unexpected<Error> refuse(std::string_view why) {
  return fail(ErrorCode::kUnauthenticated,
              "the answer is not the hub's: {}; is the load balancer in front of the hub that this agent joined?", why);
}

}  // namespace

Result<Sealer> Sealer::of(const AgentIdentity& identity) {
  Sealer sealer;
  sealer.cluster_name_ = identity.cluster_name;
  MEZ_TRY(crypto::X509Certificate leaf, crypto::X509Certificate::from_pem(identity.x509_pem));
  sealer.certificate_ = leaf.to_der();
  sealer.key_ = identity.keys.tls_key;
  for (const std::string& pem : identity.trust.host_cas_pem) {
    MEZ_TRY(crypto::X509Certificate root, crypto::X509Certificate::from_pem(pem));
    sealer.roots_.push_back(std::move(root));
  }
  return sealer;
}

Sealer Sealer::before_join(std::vector<std::string> pins) {
  Sealer sealer;
  sealer.pins_ = std::move(pins);
  return sealer;
}

Result<v1::SealedCall> Sealer::seal(std::string_view method, std::string request) const {
  v1::CallStatement statement;
  statement.set_method(std::string(method));
  statement.set_audience(cluster_name_);
  statement.set_time_ms(to_unix_millis(system_clock().now()));
  statement.set_nonce(to_text(crypto::random_bytes(16)));
  statement.set_request_sha256(sha256_of(as_bytes(request)));
  statement.set_certificate_sha256(sha256_of(certificate_));
  v1::SealedCall call;
  call.set_statement(statement.SerializeAsString());
  call.set_request(std::move(request));
  call.set_certificate(to_text(certificate_));
  if (key_) {
    std::string to_sign = net::kSealedCallLabel + call.statement();
    MEZ_TRY(Bytes proof, key_->sign(crypto::SignatureHash::kSha256, as_bytes(to_sign)));
    call.set_proof(to_text(proof));
  }
  return call;
}

Status Sealer::verify_chain(const std::vector<crypto::X509Certificate>& chain) const {
  SystemTime now = system_clock().now();
  if (!key_) {
    MEZ_TRY(PinnedHub pinned, pin_hub(chain, pins_, now));
    return {};
  }
  MEZ_CHECK(crypto::verify_x509_chain(chain, roots_, now, crypto::X509Usage::kServer));
  std::vector<std::string> names = chain[0].dns_names();
  if (std::ranges::find(names, cluster_name_) == names.end()) return refuse("it is of another cluster");
  return {};
}

Result<std::string> Sealer::open(const v1::SealedCall& call, const v1::SealedAnswer& answer) const {
  v1::AnswerStatement statement;
  if (!statement.ParseFromString(answer.statement())) return refuse("it can't be read");
  if (answer.chain_size() < 1 || answer.chain_size() > kMaxChain) return refuse("it has no certificate, or too many");
  std::vector<crypto::X509Certificate> chain;
  for (const std::string& der : answer.chain()) {
    MEZ_TRY(crypto::X509Certificate certificate, crypto::X509Certificate::from_der(as_bytes(der)));
    chain.push_back(std::move(certificate));
  }
  if (Status trusted = verify_chain(chain); !trusted) return refuse(trusted.error().message);
  MEZ_TRY(crypto::VerifyingKey key, chain[0].public_key());
  if (key.algorithm() != crypto::KeyAlgorithm::kEcdsaP256) return refuse("its key is of another kind");
  std::string is_signed = net::kSealedAnswerLabel + answer.statement();
  if (!key.verify(crypto::SignatureHash::kSha256, as_bytes(is_signed), as_bytes(answer.signature()))) {
    return refuse("its signature is wrong");
  }
  if (statement.call_sha256() != sha256_of(as_bytes(call.statement()))) return refuse("it answers another call");
  if (statement.response_sha256() != sha256_of(as_bytes(answer.response()))) return refuse("its content was changed");
  return answer.response();
}

}  // namespace mezite::agent
