#include "auth/rpc/sealed_statement.hh"

#include "crypto/hash.hh"

namespace mezite::auth::rpc {
namespace {

bool is_hash_of(const std::string& hash, const std::string& bytes) {
  auto digest = crypto::sha256(as_bytes(bytes));
  return hash == as_text(BytesView(digest));
}

}  // namespace

std::unexpected<Error> not_taken(std::string_view why) {
  return fail(ErrorCode::kUnauthenticated, "the call is not one that this hub takes: {}", why);
}

Result<v1::CallStatement> read_statement(const v1::SealedCall& call) {
  v1::CallStatement statement;
  if (call.statement().size() > kMaxStatementBytes || call.certificate().size() > kMaxCertificateBytes ||
      call.proof().size() > kMaxStatementBytes || !statement.ParseFromString(call.statement())) {
    return not_taken("its statement can't be read");
  }
  if (statement.nonce().size() != kNonceBytes) return not_taken("its nonce is not of 16 bytes");
  if (!is_hash_of(statement.request_sha256(), call.request())) return not_taken("its content is not what was signed");
  if (!is_hash_of(statement.certificate_sha256(), call.certificate())) {
    return not_taken("its certificate is not the one that was signed for");
  }
  return statement;
}

}  // namespace mezite::auth::rpc
