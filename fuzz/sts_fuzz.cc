// What joining by cloud identity believes of others: first byte: an answer of STS, or a request that a stranger has
// signed (lines: method, path, body, then name and value of each header).
#include <algorithm>
#include <cstdlib>

#include "aws/sts.hh"
#include "base/bytes.hh"
#include "base/text.hh"

namespace {

using namespace mezite;

void expect(bool condition) {
  if (!condition) std::abort();
}

void answer(std::string_view input) {
  const auto who = aws::read_caller_identity(std::string(input));
  if (!who) return;
  expect(who->account.size() == 12 && who->account.find_first_not_of("0123456789") == std::string::npos);
  expect(who->arn.size() <= 2048 && printable(who->arn) == who->arn);
}

void request(std::string_view input) {
  const auto lines = split(input, '\n');
  aws::CallerIdentityRequest given;
  if (lines.size() < 3) return;
  given.method = lines[0];
  given.path = lines[1];
  given.body = lines[2];
  for (std::size_t i = 3; i + 1 < lines.size(); i += 2) given.headers.emplace_back(lines[i], lines[i + 1]);
  const aws::Endpoint sts{.host = "sts.amazonaws.com", .port = 443, .host_header = "sts.amazonaws.com"};
  const auto statement = aws::check_caller_identity_request(given, sts, "us-east-1");
  if (!statement) {
    expect(statement.error().code == ErrorCode::kInvalidArgument);
    return;
  }
  expect(given.method == "POST" && given.path == "/" && given.body == aws::kCallerIdentityBody);
  for (const auto& [name, value] : given.headers) {
    expect(std::ranges::none_of(value, [](char c) { return c == '\r' || c == '\n' || c == '\0'; }));
    expect(name != "host" || value == "sts.amazonaws.com");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input = as_text(BytesView(data + 1, size - 1));
  (data[0] % 2 == 0 ? answer : request)(input);
  return 0;
}
