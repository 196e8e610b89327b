// The statement of a sealed call, before anybody knows whose it is: pure functions of hostile bytes.
#pragma once

#include <string_view>

#include "base/result.hh"
#include "mezite/v1/agent.pb.h"

namespace mezite::auth::rpc {

inline constexpr std::size_t kMaxStatementBytes = 1024;
inline constexpr std::size_t kMaxCertificateBytes = 16 << 10;
inline constexpr std::size_t kNonceBytes = 16;

// What a call says of itself, when it is about this request and this certificate. kUnauthenticated says what is wrong.
Result<v1::CallStatement> read_statement(const v1::SealedCall& call);

// kUnauthenticated: "the call is not one that this hub takes: …".
std::unexpected<Error> not_taken(std::string_view why);

}  // namespace mezite::auth::rpc
