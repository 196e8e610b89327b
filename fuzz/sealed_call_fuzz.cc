// Calls of agents behind a load balancer, before anybody knows whose they are. First byte: the call as it comes, or its
// statement with hashes that fit.
#include <cstdlib>

#include "auth/rpc/sealed_statement.hh"
#include "base/bytes.hh"
#include "crypto/hash.hh"

namespace {

using namespace mezite;

void expect(bool condition) {
  if (!condition) std::abort();
}

void check(const v1::SealedCall& call) {
  const auto statement = auth::rpc::read_statement(call);
  if (!statement) {
    expect(statement.error().code == ErrorCode::kUnauthenticated);
    return;
  }
  expect(statement->nonce().size() == auth::rpc::kNonceBytes);
  expect(call.certificate().size() <= auth::rpc::kMaxCertificateBytes);
  expect(statement->request_sha256() == to_text(crypto::sha256(as_bytes(call.request()))));
  // Another request under the same statement is refused.
  v1::SealedCall other = call;
  other.set_request(call.request() + "x");
  expect(!auth::rpc::read_statement(other));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string input(as_text(BytesView(data + 1, size - 1)));
  v1::SealedCall call;
  if (data[0] % 2 == 0) {
    if (call.ParseFromString(input)) check(call);
    return 0;
  }
  v1::CallStatement statement;
  if (!statement.ParseFromString(input)) return 0;
  call.set_request("request");
  call.set_certificate("certificate");
  statement.set_request_sha256(to_text(crypto::sha256(as_bytes(call.request()))));
  statement.set_certificate_sha256(to_text(crypto::sha256(as_bytes(call.certificate()))));
  call.set_statement(statement.SerializeAsString());
  check(call);
  return 0;
}
