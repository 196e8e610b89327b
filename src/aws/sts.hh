// Who am I? The one request to AWS STS that proves to somebody else which role a machine has: the machine signs
// sts:GetCallerIdentity and does not send it, the other one sends it and reads the answer.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aws/credentials.hh"
#include "aws/endpoint.hh"
#include "base/clock.hh"
#include "base/result.hh"

namespace mezite::aws {

inline constexpr std::string_view kCallerIdentityBody = "Action=GetCallerIdentity&Version=2011-06-15";
// What the request is signed for: a header of ours, which STS ignores, but which its signature covers.
inline constexpr std::string_view kStatementHeader = "x-mezite-join";

struct CallerIdentityRequest {
  std::string method, path, body;
  std::vector<std::pair<std::string, std::string>> headers;  // names in small letters; no two alike
};

// host: with the port when it is not the scheme's own. kInvalidArgument: host, region or statement have characters that
// do not belong there.
Result<CallerIdentityRequest> sign_caller_identity(const Credentials& credentials, const std::string& host,
                                                   const std::string& region, std::string_view statement,
                                                   SystemTime now);

// Whether a stranger's request is exactly that, for this service in this region, and its signature covers every header:
// then nothing in it can make STS, or anything on the way, do something else. The statement that it was signed for.
// kInvalidArgument says what is wrong.
Result<std::string> check_caller_identity_request(const CallerIdentityRequest& request, const Endpoint& sts,
                                                  std::string_view region);

struct CallerIdentity {
  std::string account;  // 12 digits
  std::string arn;
};
// What STS says in a 200, as JSON. kUnavailable says what is missing.
Result<CallerIdentity> read_caller_identity(const std::string& body);

// Sends a request that was checked and believes a 200 only; a redirect is an answer like any other and not followed.
// Blocks for up to `timeout`. kUnauthenticated: STS refuses it; kUnavailable: it can't be reached, or fails.
Result<CallerIdentity> ask_caller_identity(const Endpoint& sts, const CallerIdentityRequest& request,
                                           std::chrono::milliseconds timeout);

}  // namespace mezite::aws
