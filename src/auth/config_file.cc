#include "auth/config_file.hh"

#include <yaml-cpp/yaml.h>

#include <map>

#include "base/text.hh"

namespace mezite::auth {
namespace {

constexpr std::size_t kMaxEntries = 1000;

class Flattener {
 public:
  explicit Flattener(std::string_view file) : file_(file) {}

  Status walk(const YAML::Node& map, const std::string& prefix) {
    for (const auto& entry : map) {
      int line = entry.first.Mark().line + 1;
      if (!entry.first.IsScalar()) return error(line, "a key must be plain text");
      std::string name = prefix.empty() ? entry.first.Scalar() : prefix + "." + entry.first.Scalar();
      MEZ_CHECK(add(name, entry.second, line));
    }
    return {};
  }

  std::vector<FileEntry> take() { return std::move(entries_); }

  std::unexpected<Error> error(int line, std::string_view text) const {
    return fail(ErrorCode::kInvalidArgument, "{}:{}: {}", file_, line, text);
  }

 private:
  Status add(const std::string& name, const YAML::Node& node, int line) {
    if (entries_.size() >= kMaxEntries) return error(line, "too many keys");
    const ConfigKey* key = find_config_key(name);
    if (node.IsMap() && key == nullptr) {
      if (!is_section(name)) return unknown(name, line);
      return walk(node, name);
    }
    if (key == nullptr) {
      if (is_section(name)) {
        // "log:" with everything below it commented out says nothing, and is no mistake.
        if (node.IsNull()) return {};
        return error(line, fmt::format("{}: this is a section; put its keys below it", printable(name)));
      }
      return unknown(name, line);
    }
    auto [it, added] = lines_.emplace(name, line);
    if (!added) return error(line, fmt::format("{}: already set in line {}; keep one of the two", name, it->second));
    FileEntry entry{name, {}, line};
    if (node.IsNull()) return {};  // "key:" with nothing after it leaves the default
    if (node.IsScalar()) {
      entry.value.items.push_back(node.Scalar());
    } else if (node.IsSequence() && key->takes_list) {
      entry.value.is_list = true;
      for (const auto& item : node) {
        if (!item.IsScalar()) return error(line, fmt::format("{}: {}", name, key->accepted));
        entry.value.items.push_back(item.Scalar());
      }
    } else if (node.IsMap() && key->takes_list) {
      entry.value.is_list = true;
      for (const auto& item : node) {
        if (!item.first.IsScalar() || !item.second.IsScalar()) {
          return error(line, fmt::format("{}: {}", name, key->accepted));
        }
        entry.value.items.push_back(item.first.Scalar() + "=" + item.second.Scalar());
      }
    } else {
      return error(line, fmt::format("{}: expected a single value, not a {}; {}", name,
                                     node.IsMap() ? "section" : "list", key->accepted));
    }
    entries_.push_back(std::move(entry));
    return {};
  }

  std::unexpected<Error> unknown(const std::string& name, int line) const {
    std::string section = name.substr(0, name.rfind('.') == std::string::npos ? 0 : name.rfind('.'));
    std::vector<std::string> siblings;
    for (const ConfigKey& key : config_keys()) {
      bool inside = section.empty() ? true : key.name.starts_with(section + ".");
      if (!inside) continue;
      std::string rest = section.empty() ? key.name : key.name.substr(section.size() + 1);
      rest = rest.substr(0, rest.find('.'));
      if (siblings.empty() || siblings.back() != rest) siblings.push_back(rest);
    }
    std::string where = section.empty() ? "at the top level" : "in " + printable(section);
    if (siblings.empty()) {
      return error(line, fmt::format("{}: unknown key; see docs/configuration.md for all of them", printable(name)));
    }
    return error(line,
                 fmt::format("{}: unknown key; the keys {} are {}", printable(name), where, join(siblings, ", ")));
  }

  static bool is_section(const std::string& name) {
    for (const ConfigKey& key : config_keys()) {
      if (key.name.starts_with(name + ".")) return true;
    }
    return false;
  }

  std::string_view file_;
  std::vector<FileEntry> entries_;
  std::map<std::string, int> lines_;
};

}  // namespace

Result<std::vector<FileEntry>> parse_config_file(std::string_view text, std::string_view file_name) {
  Flattener flattener(file_name);
  try {
    YAML::Node root = YAML::Load(std::string(text));
    if (root.IsNull()) return std::vector<FileEntry>{};
    if (!root.IsMap()) return flattener.error(1, "expected keys and values, like \"log: {level: info}\"");
    MEZ_CHECK(flattener.walk(root, ""));
  } catch (const YAML::Exception& e) {
    return flattener.error(e.mark.line + 1, fmt::format("not valid YAML: {}", e.msg));
  }
  return flattener.take();
}

}  // namespace mezite::auth
