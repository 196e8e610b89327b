#include "identity/invites.hh"

#include "crypto/hash.hh"
#include "crypto/random.hh"
#include "identity/user_rows.hh"

namespace mezite::identity {

namespace {

constexpr std::string_view kVoid = "this link was used, has expired or never was: ask an administrator for a new one";

Result<Invite> load(store::Session& session, std::string_view secret, SystemTime now) {
  if (secret.size() > 128) return fail(ErrorCode::kNotFound, "{}", kVoid);
  auto digest = crypto::sha256(as_bytes(secret));
  MEZ_TRY(auto rows, session.query("SELECT user_name, purpose, expires_at FROM invites WHERE secret_sha256 = ?1 AND"
                                   " expires_at > ?2",
                                   {BytesView(digest), now}));
  MEZ_TRY(bool found, rows.next());
  if (!found) return fail(ErrorCode::kNotFound, "{}", kVoid);
  return Invite{.secret = std::string(secret),
                .user = rows.text(0),
                .purpose = rows.text(1) == "reset" ? InvitePurpose::kReset : InvitePurpose::kInvite,
                .expires_at = rows.time(2)};
}

}  // namespace

Result<Invite> Invites::create(std::string_view user, InvitePurpose purpose) {
  Invite invite{.secret = crypto::random_token(),
                .user = std::string(user),
                .purpose = purpose,
                .expires_at = clock_.now() + kInviteTtl};
  auto digest = crypto::sha256(as_bytes(invite.secret));
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(check_user_exists(transaction, user));
  MEZ_CHECK(transaction.execute("DELETE FROM invites WHERE user_name = ?1", {user}));
  MEZ_CHECK(transaction.execute(
      "INSERT INTO invites (secret_sha256, user_name, purpose, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
      {BytesView(digest), user, purpose == InvitePurpose::kReset ? "reset" : "invite", clock_.now(),
       invite.expires_at}));
  MEZ_CHECK(transaction.commit());
  return invite;
}

Result<Invite> Invites::look(std::string_view secret) const {
  MEZ_TRY(auto reader, database_.snapshot());
  return load(reader, secret, clock_.now());
}

Result<std::string> Invites::redeem(std::string_view secret, std::string_view new_password) {
  MEZ_CHECK(look(secret));  // before the expensive part
  MEZ_TRY(std::string phc, passwords_.hash(new_password));
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_TRY(Invite invite, load(transaction, secret, clock_.now()));
  MEZ_CHECK(passwords_.store_hash(transaction, invite.user, phc));  // deletes all links of the user
  MEZ_CHECK(transaction.commit());
  return invite.user;
}

}  // namespace mezite::identity
