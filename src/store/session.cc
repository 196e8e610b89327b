#include "store/session.hh"

#include <sqlite3.h>

#include "store/connection.hh"

namespace mezite::store {

namespace {

Status bind(Connection& connection, PreparedStatement& statement, std::span<const Parameter> parameters) {
  sqlite3_stmt* handle = statement.handle;
  if (sqlite3_bind_parameter_count(handle) != static_cast<int>(parameters.size())) {
    return fail(ErrorCode::kInternal, "database: {} values for a statement that takes {}", parameters.size(),
                sqlite3_bind_parameter_count(handle));
  }
  int index = 0;
  for (const Parameter& parameter : parameters) {
    ++index;
    int code = std::visit(
        [&](const auto& value) {
          using T = std::decay_t<decltype(value)>;
          if constexpr (std::is_same_v<T, std::nullptr_t>) return sqlite3_bind_null(handle, index);
          if constexpr (std::is_same_v<T, std::int64_t>) return sqlite3_bind_int64(handle, index, value);
          if constexpr (std::is_same_v<T, std::string_view>) {
            // An empty view may point nowhere, which SQLite would take for null.
            return sqlite3_bind_text64(handle, index, value.empty() ? "" : value.data(), value.size(), SQLITE_TRANSIENT,
                                       SQLITE_UTF8);
          }
          if constexpr (std::is_same_v<T, BytesView>) {
            if (value.empty()) return sqlite3_bind_zeroblob(handle, index, 0);
            return sqlite3_bind_blob64(handle, index, value.data(), value.size(), SQLITE_TRANSIENT);
          }
        },
        parameter.value());
    if (code != SQLITE_OK) return connection.failure("database");
  }
  return {};
}

}  // namespace

Rows::Rows(Rows&& other) noexcept
    : connection_(other.connection_), statement_(std::exchange(other.statement_, nullptr)) {}

Rows& Rows::operator=(Rows&& other) noexcept {
  if (this != &other) {
    finish();
    connection_ = other.connection_;
    statement_ = std::exchange(other.statement_, nullptr);
  }
  return *this;
}

Rows::~Rows() { finish(); }

void Rows::finish() {
  if (statement_ != nullptr) connection_->release(std::exchange(statement_, nullptr));
}

Result<bool> Rows::next() {
  if (statement_ == nullptr) return false;
  int code = sqlite3_step(statement_->handle);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    finish();
    return false;
  }
  auto error = connection_->failure("database");
  finish();
  return error;
}

bool Rows::is_null(int column) const {
  return statement_ == nullptr || sqlite3_column_type(statement_->handle, column) == SQLITE_NULL;
}

std::int64_t Rows::integer(int column) const {
  return statement_ == nullptr ? 0 : sqlite3_column_int64(statement_->handle, column);
}

std::string Rows::text(int column) const {
  if (statement_ == nullptr) return {};
  const unsigned char* text = sqlite3_column_text(statement_->handle, column);
  if (text == nullptr) return {};
  auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_->handle, column));
  return std::string(reinterpret_cast<const char*>(text), size);
}

Bytes Rows::bytes(int column) const {
  if (statement_ == nullptr) return {};
  const void* data = sqlite3_column_blob(statement_->handle, column);
  if (data == nullptr) return {};
  auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_->handle, column));
  const auto* first = static_cast<const std::uint8_t*>(data);
  return Bytes(first, first + size);
}

std::optional<SystemTime> Rows::optional_time(int column) const {
  if (is_null(column)) return std::nullopt;
  return time(column);
}

Result<std::int64_t> Session::execute(std::string_view sql, std::initializer_list<Parameter> parameters) {
  MEZ_TRY(PreparedStatement * statement, connection_->prepare(sql));
  Rows rows(connection_, statement);  // gives the statement back
  MEZ_CHECK(bind(*connection_, *statement, {parameters.begin(), parameters.size()}));
  MEZ_TRY(bool row, rows.next());
  if (row) return fail(ErrorCode::kInternal, "database: a statement that should give no rows gave one");
  return sqlite3_changes64(connection_->handle());
}

Result<Rows> Session::query(std::string_view sql, std::initializer_list<Parameter> parameters) {
  return query(sql, std::span(parameters.begin(), parameters.size()));
}

Result<Rows> Session::query(std::string_view sql, std::span<const Parameter> parameters) {
  MEZ_TRY(PreparedStatement * statement, connection_->prepare(sql));
  Rows rows(connection_, statement);
  MEZ_CHECK(bind(*connection_, *statement, parameters));
  return rows;
}

Result<Rows> Session::query_row(std::string_view sql, std::initializer_list<Parameter> parameters) {
  MEZ_TRY(Rows rows, query(sql, parameters));
  MEZ_TRY(bool found, rows.next());
  if (!found) return fail(ErrorCode::kNotFound, "not found");
  return rows;
}

Result<std::int64_t> Session::query_integer(std::string_view sql, std::initializer_list<Parameter> parameters,
                                            std::int64_t otherwise) {
  MEZ_TRY(Rows rows, query(sql, parameters));
  MEZ_TRY(bool found, rows.next());
  return found ? rows.integer(0) : otherwise;
}

}  // namespace mezite::store
