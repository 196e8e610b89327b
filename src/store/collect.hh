// All rows of a query as values.
#pragma once

#include <type_traits>
#include <vector>

#include "store/session.hh"

namespace mezite::store {

// read(rows) makes one of the current row.
template <class Read>
auto collect(Rows rows, Read read) -> Result<std::vector<std::decay_t<decltype(read(rows))>>> {
  std::vector<std::decay_t<decltype(read(rows))>> found;
  while (true) {
    MEZ_TRY(const bool more, rows.next());
    if (!more) return found;
    found.push_back(read(rows));
  }
}

}  // namespace mezite::store
