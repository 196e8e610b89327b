#include "ssh/keys/known_hosts.hh"

#include <algorithm>

#include "base/ascii.hh"
#include "base/text.hh"
#include "crypto/hash.hh"
#include "ssh/keys/certificate_check.hh"

namespace mezite::ssh {
namespace {

// '*' and '?' as in ssh_config(5), in linear space and without recursion.
bool glob_matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || (pattern[p] != '*' && pattern[p] == text[t]))) {
      ++p, ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

// "|1|base64(salt)|base64(HMAC-SHA1(salt, name))": the one use of SHA-1, as an index and not as proof of anything.
bool hashed_matches(std::string_view pattern, std::string_view name) {
  const auto parts = split(pattern, '|');
  if (parts.size() != 4 || parts[1] != "1") return false;
  const auto salt = from_base64(parts[2]);
  const auto expected = from_base64(parts[3]);
  return salt && expected && equal_constant_time(crypto::hmac_sha1_for_known_hosts(*salt, as_bytes(name)), *expected);
}

bool patterns_match(const std::vector<std::string>& patterns, std::string_view name) {
  bool matched = false;
  for (const auto& pattern : patterns) {
    if (pattern.starts_with('|')) {
      matched = matched || hashed_matches(pattern, name);
    } else if (pattern.starts_with('!')) {
      if (glob_matches(lower(std::string_view(pattern).substr(1)), name)) return false;
    } else {
      matched = matched || glob_matches(lower(pattern), name);
    }
  }
  return matched;
}

// Takes the next word off the front.
std::string_view take_word(std::string_view& line) {
  line = trim(line);
  const std::size_t end = std::min(line.find_first_of(" \t"), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

}  // namespace

KnownHosts KnownHosts::parse(std::string_view text) {
  KnownHosts hosts;
  for (std::string_view line : split(text.substr(0, std::size_t{1} << 20), '\n')) {
    line = trim(line);
    if (line.empty() || line.starts_with('#')) continue;
    Marker marker = Marker::kNone;
    std::string_view word = take_word(line);
    if (word.starts_with('@')) {
      if (word == "@cert-authority") {
        marker = Marker::kCertificateAuthority;
      } else if (word == "@revoked") {
        marker = Marker::kRevoked;
      } else {
        ++hosts.bad_lines_;
        continue;
      }
      word = take_word(line);
    }
    auto key = PublicKey::from_text(line);
    if (!key || word.empty()) {
      ++hosts.bad_lines_;
      continue;
    }
    std::vector<std::string> patterns;
    for (const std::string_view pattern : split(word, ',')) {
      if (!pattern.empty()) patterns.emplace_back(pattern);
    }
    hosts.entries_.push_back({marker, std::move(patterns), std::move(*key)});
  }
  return hosts;
}

TrustedHostKeys KnownHosts::lookup(std::string_view host, std::uint16_t port) const {
  const std::string name = lower(known_hosts_name(host, port));
  TrustedHostKeys found;
  for (const auto& entry : entries_) {
    if (!patterns_match(entry.patterns, name)) continue;
    switch (entry.marker) {
      case Marker::kNone: found.keys.push_back(entry.key); break;
      case Marker::kCertificateAuthority: found.certificate_authorities.push_back(entry.key); break;
      case Marker::kRevoked: found.revoked.push_back(entry.key); break;
    }
  }
  return found;
}

std::string known_hosts_name(std::string_view host, std::uint16_t port) {
  return port == 22 ? std::string(host) : fmt::format("[{}]:{}", host, port);
}

std::string known_hosts_line(std::string_view patterns, const PublicKey& key, std::string_view comment) {
  return fmt::format("{} {}\n", patterns, key.to_text(comment));
}

std::string known_hosts_ca_line(std::string_view patterns, const PublicKey& ca, std::string_view comment) {
  return fmt::format("@cert-authority {} {}\n", patterns, ca.to_text(comment));
}

Status check_host_credential(const PublicCredential& presented, const TrustedHostKeys& trusted, std::string_view host,
                             SystemTime now) {
  const auto listed = [](const std::vector<PublicKey>& keys, const PublicKey& key) {
    return std::ranges::find(keys, key) != keys.end();
  };
  const PublicKey& key = plain_key(presented);
  if (listed(trusted.revoked, key)) {
    return fail(ErrorCode::kUnauthenticated, "the host key of {} ({}) is marked as revoked", printable(host),
                key.fingerprint());
  }
  if (const auto* certificate = std::get_if<Certificate>(&presented)) {
    if (listed(trusted.revoked, certificate->signature_key())) {
      return fail(ErrorCode::kUnauthenticated, "the host certificate of {} is signed by a revoked authority",
                  printable(host));
    }
    MEZ_CHECK(verify_certificate(*certificate, {.type = CertificateType::kHost,
                                                .trusted_cas = trusted.certificate_authorities,
                                                .now = now,
                                                .principal = host}));
    return {};
  }
  if (listed(trusted.keys, key)) return {};
  return fail(ErrorCode::kUnauthenticated, "the host key of {} ({}) is not known", printable(host), key.fingerprint());
}

}  // namespace mezite::ssh
