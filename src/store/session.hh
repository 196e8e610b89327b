// A connection while somebody uses it: statements, rows. Transaction and Snapshot (database.hh) are sessions.
#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "store/value.hh"

namespace mezite::store {

class Connection;  // one connection to the database, in connection.hh
struct PreparedStatement;

// The rows that a query gives, one at a time. Must be gone before its session is. One thread at a time.
//
//   MEZ_TRY(auto rows, session.query("SELECT name, created FROM users WHERE created > ?1", {since}));
//   while (true) {
//     MEZ_TRY(bool more, rows.next());
//     if (!more) break;
//     use(rows.text(0), rows.time(1));
//   }
class Rows {
 public:
  Rows(Rows&& other) noexcept;
  Rows& operator=(Rows&& other) noexcept;
  ~Rows();

  // Goes to the next row; false when there are no more.
  Result<bool> next();

  // Columns of the current row, counted from 0. Of another type than asked for, or null: converted as the database does
  // it, which for null is 0, "" and no bytes.
  bool is_null(int column) const;
  std::int64_t integer(int column) const;
  bool truth(int column) const { return integer(column) != 0; }
  std::string text(int column) const;
  Bytes bytes(int column) const;
  SystemTime time(int column) const { return from_unix_millis(integer(column)); }
  std::optional<SystemTime> optional_time(int column) const;

 private:
  friend class Session;
  Rows(Connection* connection, PreparedStatement* statement) : connection_(connection), statement_(statement) {}
  void finish();
  Connection* connection_;
  PreparedStatement* statement_;
};

// Statements have their values as ?1, ?2, …; never as text in the statement. Prepared statements are kept, so the text
// should be a constant.
class Session {
 public:
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Runs one statement that gives no rows; the number of rows it changed. A broken UNIQUE or primary key is
  // kAlreadyExists, a broken foreign key or CHECK kFailedPrecondition, a full disk and the like kIo.
  Result<std::int64_t> execute(std::string_view sql, std::initializer_list<Parameter> parameters = {});

  Result<Rows> query(std::string_view sql, std::initializer_list<Parameter> parameters = {});

  // The same with values whose number is known at run time only.
  Result<Rows> query(std::string_view sql, std::span<const Parameter> parameters);

  // As query(), gone to the first row already; kNotFound when there is none.
  Result<Rows> query_row(std::string_view sql, std::initializer_list<Parameter> parameters = {});

  // The first column of the first row; `otherwise` when there is none.
  Result<std::int64_t> query_integer(std::string_view sql, std::initializer_list<Parameter> parameters = {},
                                     std::int64_t otherwise = 0);

 protected:
  explicit Session(Connection* connection) : connection_(connection) {}
  ~Session() = default;
  Connection* connection_;
};

}  // namespace mezite::store
