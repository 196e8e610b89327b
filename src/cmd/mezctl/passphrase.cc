// The passphrase of the hub's database.
#include "base/secret.hh"
#include "client/terminal.hh"
#include "cmd/mezctl/commands.hh"
#include "mezite/v1/admin.pb.h"

namespace mezite::mezctl {
namespace {

Result<Secret> ask(const std::string& question) {
  auto asked = client::ask_secret(question);
  if (asked) return asked;
  return fail(ErrorCode::kInvalidArgument,
              "there is no terminal to ask for the passphrases; give --stdin and a line for each");
}

}  // namespace

Status cluster_rotate_passphrase(Context& context, const PassphraseFlags& flags) {
  Secret old_one, new_one;
  if (flags.from_stdin) {
    MEZ_TRY(old_one, client::read_secret_line(0));
    MEZ_TRY(new_one, client::read_secret_line(0));
    if (old_one.empty() || new_one.empty()) {
      return fail(ErrorCode::kInvalidArgument, "--stdin: give the old passphrase and the new one, a line each");
    }
  } else {
    MEZ_TRY(old_one, ask("Passphrase that is: "));
    MEZ_TRY(new_one, ask("New passphrase: "));
    MEZ_TRY(const Secret again, ask("New passphrase, once more: "));
    if (again.text() != new_one.text()) {
      return fail(ErrorCode::kInvalidArgument, "the two new passphrases differ; nothing was changed");
    }
  }
  v1::ChangePassphraseRequest request;
  request.set_old_passphrase(std::string(old_one.text()));
  request.set_new_passphrase(std::string(new_one.text()));
  auto done = context.ask<v1::Empty>("ChangePassphrase", request);
  wipe(*request.mutable_old_passphrase());
  wipe(*request.mutable_new_passphrase());
  if (!done) return std::unexpected(done.error());
  return context.print(
      "passphrase changed; set ca_key_passphrase or MEZITE_CA_KEY_PASSPHRASE to the new one before the hub's next "
      "start, "
      "and keep the old one for as long as backups from before are kept\n");
}

}  // namespace mezite::mezctl
