// Which workloads a registration is for: a list of selectors, all of which must hold.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

namespace mezite::spiffe {

// What is known of the process that asks. A text that is empty is not known, and no selector matches it.
struct Process {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string user;
  std::string group;
  std::string path;          // of its program, as this machine's root sees it
  std::string systemd_unit;  // of the system manager: "payments.service"
};

using Labels = std::map<std::string, std::string, std::less<>>;

// One condition: "unix:uid:1000", "unix:gid:1000", "unix:user:payments", "unix:group:payments",
// "unix:path:/usr/bin/payments", "systemd:unit:payments.service", "node:name:web-01", "node:label:env=prod".
struct Selector {
  enum class Kind { kUid, kGid, kUser, kGroup, kPath, kSystemdUnit, kNodeName, kNodeLabel };
  Kind kind = Kind::kUid;
  std::string name;  // of a label; else empty
  std::string value;
  std::uint32_t number = 0;  // of kUid and kGid

  bool is_of_node() const { return kind == Kind::kNodeName || kind == Kind::kNodeLabel; }
  std::string text() const;
  bool operator==(const Selector&) const = default;

  // kInvalidArgument with what can be written.
  static Result<Selector> parse(std::string_view text);
};

// A checked list. Immutable.
class Selectors {
 public:
  static constexpr std::size_t kMost = 16;

  // At most kMost, no kind twice (of labels: no label twice), and at least one that tells processes of a node apart:
  // without that every process there would be it.
  static Result<Selectors> parse(const std::vector<std::string>& texts);

  bool match_node(std::string_view name, const Labels& labels) const;
  bool match_process(const Process& process) const;

  // In one order, whatever the order they were given in.
  std::vector<std::string> texts() const;

 private:
  explicit Selectors(std::vector<Selector> list) : list_(std::move(list)) {}
  std::vector<Selector> list_;
};

}  // namespace mezite::spiffe
