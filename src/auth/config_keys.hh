// The one table of configuration keys. Parsing, variables, error texts and the reference all come from it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/config.hh"

namespace mezite::auth {

// A value as it was written: one text, or several in a list (a map's entries are "key=value" texts).
struct RawValue {
  std::vector<std::string> items;
  bool is_list = false;
};

enum class Sensitivity { kPublic, kSecret };

struct ConfigKey {
  std::string name;                    // "auth.listen_addr"
  std::vector<std::string> variables;  // the first is the one that the reference shows
  std::string type;                    // for the reference: "address", "duration", …
  std::string default_text;            // "" when unset
  std::string accepted;                // what a wrong value's error recommends: "use host:port or :port"
  std::string description;
  bool takes_list = false;
  Sensitivity sensitivity = Sensitivity::kPublic;
  // Values that this version honours; empty: all of them. {""}: none, the key must stay unset (or at its default).
  std::vector<std::string> honoured;
  // Parses and stores; the error says what is wrong with the value, without the key.
  std::function<Status(Config&, const RawValue&)> set;
};

// In the order of the reference.
const std::vector<ConfigKey>& config_keys();
const ConfigKey* find_config_key(std::string_view name);

// "a.b_c" -> "MEZITE_A_B_C".
std::string variable_of(std::string_view key);

}  // namespace mezite::auth
