// sigv4: reads a request as a JSON object a line and prints what signing it gives, for the test against botocore.
#include <nlohmann/json.hpp>

#include <iostream>
#include <string>

#include "aws/sigv4.hh"

namespace {

using Json = nlohmann::json;

Json sign_one(const Json& given) {
  using namespace mezite;
  aws::Request request;
  request.method = given.at("method");
  request.host = given.at("host");
  request.path = given.at("path");
  for (const auto& pair : given.at("query")) request.query.emplace_back(pair.at(0), pair.at(1));
  for (const auto& pair : given.at("headers")) request.headers.add(pair.at(0), pair.at(1));
  if (given.at("service") == "s3") request.path_style = aws::PathStyle::kS3;
  aws::Credentials credentials;
  credentials.access_key_id = given.at("access_key_id");
  credentials.secret_access_key = Secret(std::string_view(given.at("secret_access_key").get_ref<const std::string&>()));
  credentials.session_token = Secret(std::string_view(given.at("session_token").get_ref<const std::string&>()));
  const std::string& body = given.at("body").get_ref<const std::string&>();
  const std::string payload =
      given.at("unsigned_payload").get<bool>() ? std::string(aws::kUnsignedPayload) : aws::payload_hash(as_bytes(body));
  auto done = aws::sign(request, payload, credentials, {given.at("region"), given.at("service")},
                        from_unix_seconds(given.at("time")));
  if (!done) return {{"error", done.error().message}};
  Json headers = Json::object();
  for (const auto& [name, value] : done->headers.all()) headers[name] = value;
  return {{"target", done->target}, {"canonical_request", done->canonical_request}, {"headers", headers}};
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) std::cout << sign_one(Json::parse(line)).dump() << std::endl;
}
