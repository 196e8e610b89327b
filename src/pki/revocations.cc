#include "pki/revocations.hh"

#include <charconv>

#include "base/id.hh"
#include "base/text.hh"
#include "store/collect.hh"
#include "store/settings.hh"

namespace mezite::pki {

namespace {

constexpr std::size_t kMaxText = 1024;

Result<std::uint64_t> parse_serial(std::string_view text) {
  std::uint64_t serial = 0;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), serial);
  if (problem != std::errc{} || end != text.data() + text.size() || serial == 0) {
    return fail(ErrorCode::kInvalidArgument,
                "'{}' is no serial number: mezctl audit ls --type=user.cert.issued shows them",
                printable(text.substr(0, 64)));
  }
  return serial;
}

Status check(const Revocation& revocation) {
  auto is_plain = [](std::string_view text) {
    return text.size() <= kMaxText && is_valid_utf8(text) && printable(text) == text;
  };
  if (revocation.value.empty() || !is_plain(revocation.value) || !is_plain(revocation.reason)) {
    return fail(ErrorCode::kInvalidArgument, "a revocation needs a serial number or a key id, and printable text");
  }
  if (revocation.kind == "serial") MEZ_CHECK(parse_serial(revocation.value));
  return {};
}

}  // namespace

Result<std::unique_ptr<Revocations>> Revocations::open(store::Database& database, const Clock& clock) {
  std::unique_ptr<Revocations> made(new Revocations(database, clock));
  MEZ_CHECK(made->load());
  return made;
}

Status Revocations::load() {
  MEZ_TRY(std::vector<Revocation> all, list());
  auto set = std::make_shared<Set>();
  for (const Revocation& one : all) {
    if (one.kind == "key_id") {
      set->key_ids.insert(one.value);
    } else if (auto serial = parse_serial(one.value)) {
      set->serials.insert(*serial);
    }
  }
  std::lock_guard lock(mutex_);
  set_ = std::move(set);
  return {};
}

Result<std::vector<Revocation>> Revocations::add(std::vector<Revocation> revocations) {
  std::vector<Revocation> added;
  {
    MEZ_TRY(auto transaction, database_.begin());
    MEZ_CHECK(transaction.execute("DELETE FROM revocations WHERE expires_at <= ?1", {clock_.now()}));
    for (Revocation& one : revocations) {
      MEZ_CHECK(check(one));
      one.id = new_uuid();
      one.created_at = clock_.now();
      MEZ_TRY(std::int64_t stored,
              transaction.execute(
                  "INSERT INTO revocations (id, kind, value, user_name, reason, created_by, created_at,"
                  " expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
                  " ON CONFLICT (kind, value) DO NOTHING",
                  {one.id, one.kind, one.value, one.user, one.reason, one.created_by, one.created_at, one.expires_at}));
      if (stored > 0) added.push_back(std::move(one));
    }
    MEZ_CHECK(store::bump_revision(transaction));
    MEZ_CHECK(transaction.commit());
  }
  MEZ_CHECK(load());
  return added;
}

Result<std::vector<Revocation>> Revocations::list() const {
  MEZ_TRY(auto reader, database_.snapshot());
  MEZ_TRY(auto rows, reader.query("SELECT id, kind, value, user_name, reason, created_by, created_at, expires_at"
                                  " FROM revocations WHERE expires_at IS NULL OR expires_at > ?1"
                                  " ORDER BY created_at, id",
                                  {clock_.now()}));
  return store::collect(std::move(rows), [](const store::Rows& row) {
    return Revocation{.id = row.text(0),
                      .kind = row.text(1),
                      .value = row.text(2),
                      .user = row.text(3),
                      .reason = row.text(4),
                      .created_by = row.text(5),
                      .created_at = row.time(6),
                      .expires_at = row.optional_time(7)};
  });
}

Result<Revocation> Revocations::remove(std::string_view id) {
  MEZ_TRY(std::vector<Revocation> all, list());
  for (Revocation& one : all) {
    if (one.id != id) continue;
    {
      MEZ_TRY(auto transaction, database_.begin());
      MEZ_CHECK(transaction.execute("DELETE FROM revocations WHERE id = ?1", {id}));
      MEZ_CHECK(store::bump_revision(transaction));
      MEZ_CHECK(transaction.commit());
    }
    MEZ_CHECK(load());
    return std::move(one);
  }
  return fail(ErrorCode::kNotFound, "there is no revocation '{}': mezctl ca revocations shows their ids",
              printable(id.substr(0, 80)));
}

ssh::RevokedCertificates Revocations::current() const {
  std::lock_guard lock(mutex_);
  return {{set_->serials.begin(), set_->serials.end()}, {set_->key_ids.begin(), set_->key_ids.end()}};
}

bool Revocations::is_revoked(const ssh::Certificate& certificate) const {
  std::lock_guard lock(mutex_);
  return set_->serials.contains(certificate.serial()) || set_->key_ids.contains(certificate.key_id());
}

}  // namespace mezite::pki
