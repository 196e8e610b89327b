// name-list of RFC 4251 §5: algorithm names in order of preference.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "ssh/wire/reader.hh"
#include "ssh/wire/writer.hh"

namespace mezite::ssh {

class NameList {
 public:
  // Bounds of what is taken from a peer; OpenSSH's longest list has about 600 bytes.
  static constexpr std::size_t kMaxBytes = 8192;
  static constexpr std::size_t kMaxNames = 256;
  static constexpr std::size_t kMaxNameBytes = 64;  // RFC 4251 §6

  NameList() = default;
  NameList(std::initializer_list<std::string_view> names) : names_(names.begin(), names.end()) {}
  explicit NameList(std::vector<std::string> names) : names_(std::move(names)) {}

  // Fails the reader on empty names, bytes that are not printable US-ASCII, and over the bounds above. Duplicates are
  // kept: RFC 4251 does not forbid them and the first one counts.
  static NameList read(Reader& in);
  void write(Writer& out) const;

  const std::vector<std::string>& names() const { return names_; }
  bool empty() const { return names_.empty(); }
  bool contains(std::string_view name) const;
  std::string to_text() const;  // "a,b,c"

  bool operator==(const NameList&) const = default;

 private:
  std::vector<std::string> names_;
};

// RFC 4253 §7.1: the client's first name that the server has too; empty when there is none.
std::string_view negotiate(const NameList& client, const NameList& server);

}  // namespace mezite::ssh
