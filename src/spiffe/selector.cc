#include "spiffe/selector.hh"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.hh"

namespace mezite::spiffe {
namespace {

struct KindName {
  Selector::Kind kind;
  std::string_view prefix;
};
constexpr std::array kKinds = std::to_array<KindName>({
    {Selector::Kind::kUid, "unix:uid:"},
    {Selector::Kind::kGid, "unix:gid:"},
    {Selector::Kind::kUser, "unix:user:"},
    {Selector::Kind::kGroup, "unix:group:"},
    {Selector::Kind::kPath, "unix:path:"},
    {Selector::Kind::kSystemdUnit, "systemd:unit:"},
    {Selector::Kind::kNodeName, "node:name:"},
    {Selector::Kind::kNodeLabel, "node:label:"},
});
constexpr std::size_t kMaxValueBytes = 1024;

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

template <class... Args>
std::unexpected<Error> refuse(std::string_view text, fmt::format_string<Args...> format, Args&&... args) {
  return fail(ErrorCode::kInvalidArgument, "selector '{}': {}", printable(text.substr(0, 128)),
              fmt::format(format, std::forward<Args>(args)...));
}

Result<std::uint32_t> parse_number(std::string_view text) {
  std::uint32_t number = 0;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  // All bits set is "no such id" to the kernel (chown(2)).
  if (problem != std::errc{} || end != text.data() + text.size() || number == UINT32_MAX ||
      std::to_string(number) != text) {
    return fail(ErrorCode::kInvalidArgument, "not a number");
  }
  return number;
}

// A path that the kernel could give for a program: nothing in it that it would have resolved.
bool is_resolved_path(std::string_view path) {
  if (!path.starts_with('/') || path.size() < 2) return false;
  return std::ranges::none_of(split(path.substr(1), '/'), [](std::string_view segment) {
    return segment.empty() || segment == "." || segment == "..";
  });
}

bool is_unit_name(std::string_view name) {
  std::size_t dot = name.rfind('.');
  if (dot == 0 || dot == std::string_view::npos || name.size() > 255) return false;
  std::string_view type = name.substr(dot + 1);
  return (type == "service" || type == "scope") && std::ranges::all_of(name, [](char c) {
           return is_alphanumeric(c) || std::string_view(":_.\\@-").find(c) != std::string_view::npos;
         });
}

Status fill(Selector& selector, std::string_view text, std::string_view value) {
  switch (selector.kind) {
    case Selector::Kind::kUid:
    case Selector::Kind::kGid: {
      auto number = parse_number(value);
      if (!number) return refuse(text, "'{}' is not a number, as in unix:uid:1000", printable(value.substr(0, 64)));
      selector.number = *number;
      break;
    }
    case Selector::Kind::kPath:
      if (!is_resolved_path(value)) {
        return refuse(text, "the path must be absolute, without '.', '..' and '//', as in unix:path:/usr/bin/payments");
      }
      break;
    case Selector::Kind::kSystemdUnit:
      if (!is_unit_name(value)) return refuse(text, "name a unit with its suffix, as in systemd:unit:payments.service");
      break;
    case Selector::Kind::kNodeLabel: {
      std::size_t equals = value.find('=');
      if (equals == 0 || equals == std::string_view::npos) return refuse(text, "as in node:label:env=prod");
      selector.name = std::string(value.substr(0, equals));
      value = value.substr(equals + 1);
      break;
    }
    default: break;
  }
  selector.value = std::string(value);
  return {};
}

}  // namespace

Result<Selector> Selector::parse(std::string_view text) {
  for (const KindName& known : kKinds) {
    if (!text.starts_with(known.prefix)) continue;
    std::string_view value = text.substr(known.prefix.size());
    if (value.empty() || value.size() > kMaxValueBytes || printable(value) != value || trim(value) != value) {
      return refuse(text, "after '{}' comes a value of at most {} bytes, without control characters", known.prefix,
                    kMaxValueBytes);
    }
    Selector selector{.kind = known.kind, .name = {}, .value = {}};
    MEZ_CHECK(fill(selector, text, value));
    return selector;
  }
  return refuse(text,
                "take unix:uid:, unix:gid:, unix:user:, unix:group:, unix:path:, systemd:unit:, node:name: or "
                "node:label:, each with its value");
}

std::string Selector::text() const {
  const auto* known = std::ranges::find(kKinds, kind, &KindName::kind);
  return std::string(known->prefix) + (kind == Kind::kNodeLabel ? name + "=" : "") + value;
}

Result<Selectors> Selectors::parse(const std::vector<std::string>& texts) {
  if (texts.size() > kMost) {
    return fail(ErrorCode::kInvalidArgument, "{} selectors; a registration has at most {}", texts.size(), kMost);
  }
  std::vector<Selector> list;
  for (const std::string& text : texts) {
    MEZ_TRY(Selector selector, Selector::parse(text));
    for (const Selector& before : list) {
      if (before.kind == selector.kind && before.name == selector.name) {
        return fail(ErrorCode::kInvalidArgument,
                    "'{}' and '{}': all selectors must hold, so one of a kind is enough; register the ID twice for "
                    "either of two",
                    printable(before.text()), printable(selector.text()));
      }
    }
    list.push_back(std::move(selector));
  }
  if (std::ranges::all_of(list, &Selector::is_of_node)) {
    return fail(ErrorCode::kInvalidArgument,
                "at least one selector must tell processes apart: give unix:user:NAME, unix:path:PATH, "
                "systemd:unit:NAME or their like");
  }
  std::ranges::sort(list, {}, [](const Selector& s) { return std::pair(s.kind, s.name); });
  return Selectors(std::move(list));
}

bool Selectors::match_node(std::string_view name, const Labels& labels) const {
  return std::ranges::all_of(list_, [&](const Selector& selector) {
    if (selector.kind == Selector::Kind::kNodeName) return selector.value == name;
    if (selector.kind != Selector::Kind::kNodeLabel) return true;
    auto found = labels.find(selector.name);
    return found != labels.end() && found->second == selector.value;
  });
}

bool Selectors::match_process(const Process& process) const {
  return std::ranges::all_of(list_, [&](const Selector& selector) {
    switch (selector.kind) {
      case Selector::Kind::kUid: return selector.number == process.uid;
      case Selector::Kind::kGid: return selector.number == process.gid;
      case Selector::Kind::kUser: return selector.value == process.user;
      case Selector::Kind::kGroup: return selector.value == process.group;
      case Selector::Kind::kPath: return selector.value == process.path;
      case Selector::Kind::kSystemdUnit: return selector.value == process.systemd_unit;
      case Selector::Kind::kNodeName:
      case Selector::Kind::kNodeLabel: return true;
    }
    return false;
  });
}

std::vector<std::string> Selectors::texts() const {
  std::vector<std::string> out;
  for (const Selector& selector : list_) out.push_back(selector.text());
  return out;
}

}  // namespace mezite::spiffe
