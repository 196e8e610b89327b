// Messages of the API as the JSON that mezctl prints.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace google::protobuf {
class Message;
}

namespace mezite::client {

// An object with the message's field names. "x_ms" becomes "x": an RFC 3339 time in UTC, or null when it is unset.
// Traits become {name: [values]}, "document_json" becomes "document" and holds the document itself.
nlohmann::ordered_json message_to_json(const google::protobuf::Message& message);

}  // namespace mezite::client
