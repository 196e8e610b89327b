#include "pki/certificate_json.hh"

#include "base/text.hh"

namespace mezite::pki {

std::string to_json(const std::vector<std::string>& values) {
  std::string out = "[";
  for (const std::string& value : values) {
    if (out.size() > 1) out += ',';
    out += json_quote(value);
  }
  return out + ']';
}

std::string to_json(const Traits& traits) {
  std::string out = "{";
  for (const auto& [name, values] : traits) {
    if (out.size() > 1) out += ',';
    out += json_quote(name) + ':' + to_json(values);
  }
  return out + '}';
}

}  // namespace mezite::pki
