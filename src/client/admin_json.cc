#include "client/admin_json.hh"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/bytes.hh"
#include "base/clock.hh"

namespace mezite::client {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Json = nlohmann::ordered_json;

Json text_to_json(const FieldDescriptor& field, const std::string& text) {
  if (field.type() == FieldDescriptor::TYPE_BYTES) return to_base64(as_bytes(text));
  return text;
}

// Of a plain field (index < 0) or an element of a repeated one.
Json value_to_json(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  std::string scratch;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return index < 0 ? reflection.GetBool(message, &field) : reflection.GetRepeatedBool(message, &field, index);
    case FieldDescriptor::CPPTYPE_INT32:
      return index < 0 ? reflection.GetInt32(message, &field) : reflection.GetRepeatedInt32(message, &field, index);
    case FieldDescriptor::CPPTYPE_INT64:
      return index < 0 ? reflection.GetInt64(message, &field) : reflection.GetRepeatedInt64(message, &field, index);
    case FieldDescriptor::CPPTYPE_STRING:
      return text_to_json(field, index < 0 ? reflection.GetStringReference(message, &field, &scratch)
                                           : reflection.GetRepeatedStringReference(message, &field, index, &scratch));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return message_to_json(index < 0 ? reflection.GetMessage(message, &field)
                                       : reflection.GetRepeatedMessage(message, &field, index));
    default: return nullptr;  // the API has no other types
  }
}

std::string text_of(const Message& message, const char* name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  std::string scratch;
  return field ? message.GetReflection()->GetStringReference(message, field, &scratch) : scratch;
}

Json repeated_to_json(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  const int size = reflection.FieldSize(message, &field);
  const bool traits = field.message_type() && field.message_type()->name() == "Trait";
  if (field.is_map()) {  // in the order of its keys: the message has none
    std::map<std::string, std::string> sorted;
    for (int i = 0; i < size; ++i) {
      const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
      sorted[text_of(entry, "key")] = text_of(entry, "value");
    }
    return sorted.empty() ? Json::object() : Json(sorted);
  }
  Json json = traits ? Json::object() : Json::array();
  for (int i = 0; i < size; ++i) {
    if (traits) {
      const Message& trait = reflection.GetRepeatedMessage(message, &field, i);
      json[text_of(trait, "name")] = repeated_to_json(trait, *trait.GetDescriptor()->FindFieldByName("values"));
    } else {
      json.push_back(value_to_json(message, field, i));
    }
  }
  return json;
}

}  // namespace

Json message_to_json(const Message& message) {
  Json json = Json::object();
  const google::protobuf::Descriptor& descriptor = *message.GetDescriptor();
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor& field = *descriptor.field(i);
    const std::string& name = field.name();
    if (name == "chain_key") continue;  // for players, not for people
    if (field.is_repeated()) {
      json[name] = repeated_to_json(message, field);
    } else if (name.ends_with("_ms") && field.cpp_type() == FieldDescriptor::CPPTYPE_INT64) {
      const std::int64_t ms = message.GetReflection()->GetInt64(message, &field);
      json[name.substr(0, name.size() - 3)] = ms == 0 ? Json(nullptr) : Json(to_rfc3339(from_unix_millis(ms)));
    } else if (name == "document_json") {
      json["document"] = Json::parse(text_of(message, "document_json"), nullptr, false);
    } else {
      json[name] = value_to_json(message, field, -1);
    }
  }
  return json;
}

}  // namespace mezite::client
