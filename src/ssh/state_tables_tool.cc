// ssh_tables: prints every state table of the SSH core.
#include <cstdio>

#include "ssh/state_tables.hh"

int main() {
  const std::string text = mezite::ssh::state_tables_text();
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}
