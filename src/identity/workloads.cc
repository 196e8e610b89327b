#include "identity/workloads.hh"

#include <algorithm>

#include "base/text.hh"
#include "crypto/random.hh"
#include "identity/columns.hh"
#include "spiffe/jwt_svid.hh"
#include "spiffe/selector.hh"
#include "store/collect.hh"
#include "store/settings.hh"

namespace mezite::identity {
namespace {

constexpr std::size_t kMaxDnsNames = 16;
constexpr std::size_t kMaxHintBytes = 64;
constexpr std::string_view kColumns =
    "SELECT id, spiffe_id, selectors, x509_ttl_seconds, jwt_ttl_seconds, dns_names, jwt_audiences, hint, created_by,"
    " created_at FROM workload_identities ";

Workload read_row(const store::Rows& rows) {
  Workload out;
  out.id = rows.text(0);
  out.spiffe_id = rows.text(1);
  out.selectors = list_from_json(rows.text(2));
  out.x509_ttl = std::chrono::seconds(rows.integer(3));
  out.jwt_ttl = std::chrono::seconds(rows.integer(4));
  out.dns_names = list_from_json(rows.text(5));
  out.jwt_audiences = list_from_json(rows.text(6));
  out.hint = rows.text(7);
  out.created_by = rows.text(8);
  out.created_at = rows.time(9);
  return out;
}

Result<std::vector<Workload>> read_all(store::Rows rows) { return store::collect(std::move(rows), read_row); }

Result<Workload> find_one(store::Session& session, std::string_view name, std::string_view spiffe_id) {
  static const std::string sql = std::string(kColumns) + "WHERE id = ?1 OR spiffe_id = ?2 ORDER BY id";
  MEZ_TRY(auto rows, session.query(sql, {name, spiffe_id}));
  MEZ_TRY(std::vector<Workload> found, read_all(std::move(rows)));
  if (found.size() == 1) return std::move(found[0]);
  if (found.empty()) {
    return fail(ErrorCode::kNotFound, "there is no workload identity '{}': mezctl workload-identity ls shows them",
                printable(name.substr(0, 128)));
  }
  std::vector<std::string> ids;
  for (const Workload& one : found) ids.push_back(one.id);
  return fail(ErrorCode::kFailedPrecondition, "{} registrations have the SPIFFE ID {}: name one by its id ({})",
              found.size(), spiffe_id, join(ids, ", "));
}

bool is_dns_name(std::string_view name) {
  auto labels = split(name, '.');
  return name.size() <= 253 && std::ranges::all_of(labels, [](std::string_view label) {
           return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
                  std::ranges::all_of(
                      label, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
         });
}

Status check_ttl(std::chrono::seconds ttl, std::chrono::seconds most, std::string_view what) {
  if (ttl >= kMinSvidTtl && ttl <= most) return {};
  return fail(ErrorCode::kInvalidArgument, "{} live for {} to {}", what, format_duration(kMinSvidTtl),
              format_duration(most));
}

Status check(const NewWorkload& workload) {
  MEZ_CHECK(check_ttl(workload.x509_ttl, kMaxX509SvidTtl, "X509-SVIDs (--x509-ttl)"));
  MEZ_CHECK(check_ttl(workload.jwt_ttl, kMaxJwtSvidTtl, "JWT-SVIDs (--jwt-ttl)"));
  if (workload.dns_names.size() > kMaxDnsNames) {
    return fail(ErrorCode::kInvalidArgument, "at most {} DNS names", kMaxDnsNames);
  }
  for (const std::string& name : workload.dns_names) {
    if (!is_dns_name(name)) {
      return fail(ErrorCode::kInvalidArgument, "'{}' is no DNS name in lower case, as in payments.example",
                  printable(name.substr(0, 128)));
    }
  }
  if (!workload.jwt_audiences.empty()) MEZ_CHECK(spiffe::check_audiences(workload.jwt_audiences));
  if (workload.hint.size() > kMaxHintBytes || printable(workload.hint) != workload.hint) {
    return fail(ErrorCode::kInvalidArgument, "a hint has at most {} bytes and no control characters", kMaxHintBytes);
  }
  return {};
}

}  // namespace

Result<spiffe::Id> Workloads::full_id(std::string_view text) const {
  std::string full = text.starts_with('/') ? fmt::format("spiffe://{}{}", trust_domain_, text) : std::string(text);
  return spiffe::Id::parse(full);
}

Result<Workload> Workloads::create(NewWorkload wanted) {
  MEZ_TRY(spiffe::Id id, full_id(wanted.spiffe_id));
  if (id.trust_domain != trust_domain_) {
    return fail(ErrorCode::kInvalidArgument, "the trust domain here is {}: give spiffe://{}{} or {}", trust_domain_,
                trust_domain_, id.path, id.path);
  }
  if (id.path == "/agent" || id.path.starts_with("/agent/")) {
    return fail(ErrorCode::kInvalidArgument, "IDs under /agent are those of the nodes' agents: take another path");
  }
  MEZ_TRY(spiffe::Selectors selectors, spiffe::Selectors::parse(wanted.selectors));
  MEZ_CHECK(check(wanted));
  Workload made;
  static_cast<NewWorkload&>(made) = std::move(wanted);
  made.spiffe_id = id.text();
  made.selectors = selectors.texts();
  made.id = to_hex(crypto::random_bytes(6));
  made.created_at = clock_.now();
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_TRY(std::int64_t there, transaction.query_integer("SELECT count(*) FROM workload_identities"));
  if (there >= static_cast<std::int64_t>(kMaxWorkloads)) {
    return fail(ErrorCode::kResourceExhausted, "there are {} workload identities, the most: remove some", there);
  }
  auto inserted = transaction.execute(
      "INSERT INTO workload_identities (id, spiffe_id, selectors, x509_ttl_seconds, jwt_ttl_seconds, dns_names,"
      " jwt_audiences, hint, created_by, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
      {made.id, made.spiffe_id, list_to_json(made.selectors), std::int64_t{made.x509_ttl.count()},
       std::int64_t{made.jwt_ttl.count()}, list_to_json(made.dns_names), list_to_json(made.jwt_audiences), made.hint,
       made.created_by, made.created_at});
  if (!inserted && inserted.error().code == ErrorCode::kAlreadyExists) {
    return fail(ErrorCode::kAlreadyExists,
                "{} is registered with these selectors already: mezctl workload-identity rm it to register it anew",
                made.spiffe_id);
  }
  if (!inserted) return std::unexpected(inserted.error());
  MEZ_CHECK(store::bump_revision(transaction));
  MEZ_CHECK(transaction.commit());
  return made;
}

Result<std::vector<Workload>> Workloads::list() const {
  MEZ_TRY(auto reader, database_.snapshot());
  static const std::string sql = std::string(kColumns) + "ORDER BY spiffe_id, id";
  MEZ_TRY(auto rows, reader.query(sql));
  return read_all(std::move(rows));
}

Result<Workload> Workloads::get(std::string_view name) const {
  MEZ_TRY(auto reader, database_.snapshot());
  auto id = full_id(name);
  return find_one(reader, name, id ? id->text() : "");
}

Result<Workload> Workloads::get_by_id(std::string_view id) const {
  MEZ_TRY(auto reader, database_.snapshot());
  return find_one(reader, id, "");
}

Result<Workload> Workloads::remove(std::string_view name) {
  MEZ_TRY(auto transaction, database_.begin());
  auto id = full_id(name);
  MEZ_TRY(Workload found, find_one(transaction, name, id ? id->text() : ""));
  MEZ_CHECK(transaction.execute("DELETE FROM workload_identities WHERE id = ?1", {found.id}));
  MEZ_CHECK(store::bump_revision(transaction));
  MEZ_CHECK(transaction.commit());
  return found;
}

}  // namespace mezite::identity
