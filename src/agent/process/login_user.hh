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
  std::string shell;  // never empty
};

// Asks the name service; may block (LDAP, SSSD), so call it on a worker. kNotFound: there is no such user.
Result<LoginUser> find_login_user(std::string_view name);

// Its supplementary groups, the primary one included. Asks more services than the line above, and longer: not while
// somebody logs in, but when a program starts. May block.
Result<std::vector<gid_t>> groups_of(const LoginUser& user);

// May this process start sessions as that user? Root may for everyone, anyone else for themselves only.
Status may_become(const LoginUser& user);

// The text of /etc/nologin when it keeps this user out, else success. (path: for tests.)
Status check_nologin(const LoginUser& user, const char* path = "/etc/nologin");

}  // namespace mezite::agent
