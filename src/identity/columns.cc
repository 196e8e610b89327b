#include "identity/columns.hh"

#include <nlohmann/json.hpp>

namespace mezite::identity {

namespace {

using Json = nlohmann::json;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::vector<std::string> texts(const Json& list) {
  std::vector<std::string> out;
  if (!list.is_array()) return out;
  for (const Json& item : list) {
    if (item.is_string()) out.push_back(item.get_ref<const std::string&>());
  }
  return out;
}

}  // namespace

std::string list_to_json(const std::vector<std::string>& list) { return dump(Json(list)); }

std::vector<std::string> list_from_json(std::string_view json) { return texts(Json::parse(json, nullptr, false)); }

std::string labels_to_json(const access::Labels& labels) {
  Json out = Json::object();
  for (const auto& [name, value] : labels) out[name] = value;
  return dump(out);
}

access::Labels labels_from_json(std::string_view json) {
  access::Labels out;
  Json parsed = Json::parse(json, nullptr, false);
  if (!parsed.is_object()) return out;
  for (const auto& [name, value] : parsed.items()) {
    if (value.is_string()) out[name] = value.get_ref<const std::string&>();
  }
  return out;
}

std::string traits_to_json(const access::Traits& traits) {
  Json out = Json::object();
  for (const auto& [name, values] : traits) out[name] = values;
  return dump(out);
}

access::Traits traits_from_json(std::string_view json) {
  access::Traits out;
  Json parsed = Json::parse(json, nullptr, false);
  if (!parsed.is_object()) return out;
  for (const auto& [name, values] : parsed.items()) out[name] = texts(values);
  return out;
}

}  // namespace mezite::identity
