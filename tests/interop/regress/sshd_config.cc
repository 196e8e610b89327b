#include "sshd_config.hh"

#include <fnmatch.h>

#include <algorithm>
#include <sstream>

#include "base/ascii.hh"
#include "base/bytes.hh"
#include "base/file.hh"
#include "base/text.hh"

namespace mezite::interop {
namespace {

std::string unquoted(std::string_view text) {
  text = trim(text);
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front()) {
    text = text.substr(1, text.size() - 2);
  }
  return std::string(text);
}

bool match_applies(const std::string& criteria, const std::string& user) {
  std::istringstream words(criteria);
  std::string what, value;
  while (words >> what) {
    if (lower(what) == "all") continue;
    if (!(words >> value)) return false;
    if (lower(what) == "user" && !list_match(value, user)) return false;
    if (lower(what) == "address" && value != "127.0.0.1") return false;
    if (lower(what) != "user" && lower(what) != "address") return false;
  }
  return true;
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text) {
  return ::fnmatch(std::string(pattern).c_str(), std::string(text).c_str(), 0) == 0;
}

bool list_match(std::string_view patterns, std::string_view text) {
  bool found = false;
  for (std::string_view pattern : split(patterns, ',')) {
    if (!pattern.empty() && pattern[0] == '!') {
      if (glob_match(pattern.substr(1), text)) return false;
    } else {
      found = found || glob_match(pattern, text);
    }
  }
  return found;
}

std::uint64_t number_with_unit(std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  std::uint64_t value = std::strtoull(copy.c_str(), &end, 10);
  switch (std::tolower(static_cast<unsigned char>(*end))) {
    case 'k': return value << 10;
    case 'm': return value << 20;
    case 'g': return value << 30;
    default: return value;
  }
}

Result<SshdConfig> SshdConfig::load(const std::string& path, const std::vector<std::string>& options,
                                    const std::string& user) {
  MEZ_TRY(const Bytes bytes, read_file(path));
  SshdConfig config;
  bool in_match = false, applies = true;
  const auto take = [&](std::string_view line) {
    line = trim(line);
    if (line.empty() || line[0] == '#') return;
    const std::size_t end = std::min(line.find_first_of(" \t="), line.size());
    const std::string keyword = lower(std::string(line.substr(0, end)));
    std::string_view rest = trim(line.substr(end));
    if (rest.starts_with('=')) rest = trim(rest.substr(1));
    if (keyword == "match") {
      in_match = true;
      applies = match_applies(std::string(rest), user);
    } else if (applies) {
      (in_match ? config.matched_ : config.global_)[keyword].push_back(unquoted(rest));
    }
  };
  for (const std::string& option : options) take(option);
  std::istringstream lines(to_text(bytes));
  for (std::string line; std::getline(lines, line);) take(line);
  return config;
}

std::string SshdConfig::first(const std::string& keyword) const {
  const auto values = all(keyword);
  return values.empty() ? std::string() : values[0];
}

std::vector<std::string> SshdConfig::all(const std::string& keyword) const {
  const std::string name = lower(keyword);
  for (const auto* section : {&matched_, &global_}) {
    if (const auto found = section->find(name); found != section->end()) return found->second;
  }
  return {};
}

std::vector<std::string> SshdConfig::algorithms(const std::string& keyword,
                                                const std::vector<std::string>& ours) const {
  std::string text = first(keyword);
  // The type of key; the signature algorithm of that name, SHA-1, is not ours.
  if (list_match(text, "ssh-rsa")) text += ",rsa-sha2-512,rsa-sha2-256";
  if (text.empty() || text[0] == '+') return ours;
  const std::string_view list = std::string_view(text).substr(text[0] == '-' || text[0] == '^' ? 1 : 0);
  std::vector<std::string> chosen, others;
  if (text[0] == '-') {
    for (const std::string& name : ours) {
      if (!list_match(list, name)) chosen.push_back(name);
    }
    return chosen;
  }
  // In the order of the list.
  for (std::string_view pattern : split(list, ',')) {
    for (const std::string& name : ours) {
      if (glob_match(pattern, name) && std::ranges::find(chosen, name) == chosen.end()) chosen.push_back(name);
    }
  }
  if (text[0] == '^') {
    for (const std::string& name : ours) {
      if (std::ranges::find(chosen, name) == chosen.end()) chosen.push_back(name);
    }
  }
  return chosen;
}

}  // namespace mezite::interop
