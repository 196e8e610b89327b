#include "ssh/wire/name_list.hh"

#include <algorithm>

#include "base/text.hh"

namespace mezite::ssh {

NameList NameList::read(Reader& in) {
  NameList list;
  std::string_view text = in.text();
  if (in.failed() || text.empty()) return list;
  const auto legal = [](char c) { return c > ' ' && c < '\x7f'; };
  if (text.size() > kMaxBytes || !std::ranges::all_of(text, legal) ||
      static_cast<std::size_t>(std::ranges::count(text, ',')) >= kMaxNames) {
    in.fail();
    return list;
  }
  for (std::string_view name : split(text, ',')) {
    if (name.empty() || name.size() > kMaxNameBytes) {
      in.fail();
      return NameList();
    }
    list.names_.emplace_back(name);
  }
  return list;
}

void NameList::write(Writer& out) const { out.string(to_text()); }

bool NameList::contains(std::string_view name) const { return std::ranges::find(names_, name) != names_.end(); }

std::string NameList::to_text() const { return join(names_, ","); }

std::string_view negotiate(const NameList& client, const NameList& server) {
  for (const auto& name : client.names()) {
    if (server.contains(name)) return name;
  }
  return {};
}

}  // namespace mezite::ssh
