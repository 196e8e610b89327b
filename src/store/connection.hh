// One SQLite connection with its kept statements. Inside src/store/ only.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

struct sqlite3;
struct sqlite3_stmt;

namespace mezite::store {

struct PreparedStatement {
  sqlite3_stmt* handle = nullptr;
  bool in_use = false;
  bool kept = false;
};

class Connection {
 public:
  enum class Access { kReadWrite, kReadOnly };

  static Result<std::unique_ptr<Connection>> open(const std::filesystem::path& path, Access access);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Any number of statements, without values.
  Status run(const std::string& sql);
  Status begin(const char* how);  // "BEGIN IMMEDIATE"
  Status commit();
  void rollback();

  // A statement ready to have values bound to it; give it back with release().
  Result<PreparedStatement*> prepare(std::string_view sql);
  void release(PreparedStatement* statement);

  // The last error as ours.
  std::unexpected<Error> failure(std::string_view doing) const;
  sqlite3* handle() { return handle_; }

 private:
  Connection() = default;
  sqlite3* handle_ = nullptr;
  bool in_transaction_ = false;
  std::map<std::string, std::unique_ptr<PreparedStatement>, std::less<>> kept_;
};

}  // namespace mezite::store
