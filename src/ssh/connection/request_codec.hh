// From the peer's bytes to the structs of requests.hh and back. Parsers give kProtocol for what is malformed (the
// connection ends) and kInvalidArgument for what is well-formed and absurd (the request is refused).
#pragma once

#include <string_view>

#include "base/bytes.hh"
#include "ssh/connection/requests.hh"

namespace mezite::ssh {

Result<ChannelOpen> parse_channel_open(std::string_view type, BytesView payload);
Result<ChannelRequest> parse_channel_request(std::string_view name, BytesView payload);
Result<GlobalRequest> parse_global_request(std::string_view name, BytesView payload);

Bytes encode_payload(const ChannelOpen& open);
Bytes encode_payload(const ChannelRequest& request);
Bytes encode_payload(const GlobalRequest& request);

}  // namespace mezite::ssh
