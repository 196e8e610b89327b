// The system user that a session runs as.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

namespace mezite::agent {

struct LoginUser {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string home;
  std::string shell;          // never empty
  std::vector<gid_t> groups;  // supplementary, the primary one included
};

// Asks the name service; may block (LDAP, SSSD), so call it on a worker. kNotFound: there is no such user.
Result<LoginUser> find_login_user(std::string_view name);

// May this process start sessions as that user? Root may for everyone, anyone else for themselves only.
Status may_become(const LoginUser& user);

// The text of /etc/nologin when it keeps this user out, else success. (path: for tests.)
Status check_nologin(const LoginUser& user, const char* path = "/etc/nologin");

}  // namespace mezite::agent
