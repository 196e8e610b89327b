// All of identity over one database, put together.
#pragma once

#include <memory>

#include "crypto/argon2.hh"
#include "identity/invites.hh"
#include "identity/join_tokens.hh"
#include "identity/locks.hh"
#include "identity/nodes.hh"
#include "identity/passwords.hh"
#include "identity/roles.hh"
#include "identity/sessions.hh"
#include "identity/users.hh"
#include "identity/workloads.hh"

namespace mezite::identity {

// Thread-safe, as each part is. `database` and `clock` outlive it. Every call may block on the disk: use a worker.
struct Identity {
  // Seeds the built-in roles.
  static Result<std::unique_ptr<Identity>> open(store::Database& database, const Clock& clock = system_clock(),
                                                const crypto::Argon2Params& params = crypto::kPasswordArgon2);
  Identity(store::Database& database, const Clock& clock, const crypto::Argon2Params& params);

  // The number of the state that agents must know; see store/settings.hh.
  Result<std::int64_t> revision() const;
  // Drops what is long over: sessions, invites, tokens. Now and then.
  Status sweep();

  store::Database& database;
  Users users;
  Roles roles;
  Passwords passwords;
  Invites invites;
  Sessions sessions;
  JoinTokens join_tokens;
  Nodes nodes;
  Locks locks;
  Workloads workloads;
};

}  // namespace mezite::identity
