// Brings a database to the newest schema.
#pragma once

#include <span>
#include <string_view>

#include "store/connection.hh"
#include "store/database.hh"

namespace mezite::store {

// Runs the steps that the database has not seen, each in a transaction together with the note that it was. Refuses a
// database that has seen more than there are.
Status migrate(Connection& connection, std::span<const Migration> migrations, std::string_view program_version,
               const std::filesystem::path& path);

}  // namespace mezite::store
