#include "client/sftp/remote_files.hh"

#include "base/text.hh"

namespace mezite::client {

namespace sftp = ssh::sftp;
using sftp::Reply;

namespace {

constexpr std::size_t kMaxNames = 1'000'000;  // of one folder

bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

Result<std::vector<sftp::NameEntry>> names_meant(const Result<Reply>& reply) { return sftp::names_of(reply); }

// What READDIR gives: an end is an empty list.
Result<std::vector<sftp::NameEntry>> names_or_end(const Result<Reply>& reply) {
  if (sftp::is_end(reply)) return std::vector<sftp::NameEntry>{};
  MEZ_TRY(auto names, sftp::names_of(reply));
  if (names.empty()) return fail(ErrorCode::kProtocol, "the SFTP server gave a list of no names");
  return names;
}

}  // namespace

template <class T>
Result<T> RemoteFiles::ask(const sftp::Request& request, Result<T> (*meaning)(const Result<Reply>&)) {
  // Shared: a connection that ends leaves the handler behind.
  auto answer = std::make_shared<std::optional<Result<T>>>();
  connection_.files().request(request, [answer, meaning](const Result<Reply>& reply) { *answer = meaning(reply); });
  const Status ran = connection_.run_until([&] { return answer->has_value(); });
  if (!ran) return std::unexpected(ran.error());
  return std::move(**answer);
}

Status RemoteFiles::ask(const sftp::Request& request) { return ask<void>(request, sftp::status_of); }

Result<sftp::Attributes> RemoteFiles::stat(const std::string& path) {
  return ask<sftp::Attributes>(sftp::Stat{path}, sftp::attributes_of);
}
Result<sftp::Attributes> RemoteFiles::lstat(const std::string& path) {
  return ask<sftp::Attributes>(sftp::Lstat{path}, sftp::attributes_of);
}

Result<std::vector<sftp::NameEntry>> RemoteFiles::list(const std::string& folder) {
  MEZ_TRY(const std::string handle, ask<std::string>(sftp::Opendir{folder}, sftp::handle_of));
  std::vector<sftp::NameEntry> all;
  Status status;
  while (status) {
    auto some = ask<std::vector<sftp::NameEntry>>(sftp::Readdir{as_bytes(handle)}, names_or_end);
    if (!some) {
      status = std::unexpected(some.error());
      break;
    }
    if (some->empty()) break;
    for (auto& entry : *some) {
      if (entry.name == "." || entry.name == "..") continue;
      if (!is_plain_name(entry.name)) {
        status =
            fail(ErrorCode::kProtocol, "the server listed '{}', which is no name of a file", printable(entry.name));
        break;
      }
      all.push_back(std::move(entry));
    }
    if (all.size() > kMaxNames) status = fail(ErrorCode::kResourceExhausted, "more than {} files in it", kMaxNames);
  }
  const Status closed = ask(sftp::Close{as_bytes(handle)});
  if (!status) return std::unexpected(status.error());
  if (!closed) return std::unexpected(closed.error());
  return all;
}

Status RemoteFiles::make_directory(const std::string& path, std::uint32_t permissions) {
  sftp::Attributes attributes;
  attributes.permissions = permissions;
  return ask(sftp::Mkdir{path, attributes});
}

Status RemoteFiles::set(const std::string& path, const sftp::Attributes& attributes) {
  return ask(sftp::Setstat{path, attributes});
}

Status RemoteFiles::remove(const std::string& path) { return ask(sftp::Remove{path}); }

Result<std::string> RemoteFiles::expand(const std::string& path) {
  if (path.empty() || path == "~") return std::string(".");
  if (!path.starts_with('~')) return path;
  if (path.starts_with("~/")) {  // the server starts in the login's home
    const std::size_t rest = path.find_first_not_of('/', 1);
    return rest == std::string::npos ? "." : path.substr(rest);
  }
  if (!connection_.files().server().has(sftp::ExpandPath::kExtension)) return path;
  MEZ_TRY(auto names, ask<std::vector<sftp::NameEntry>>(sftp::ExpandPath{path}, names_meant));
  if (names.size() != 1) return fail(ErrorCode::kProtocol, "the server gave {} answers", names.size());
  return std::move(names[0].name);
}

Result<Bytes> RemoteFiles::read_range(const std::string& path, std::uint64_t offset, std::uint32_t size) {
  struct Range final : sftp::ReadTarget {
    Bytes bytes;
    std::optional<Result<std::uint32_t>> got;
    void on_piece(std::uint64_t, BytesView piece) override { bytes.insert(bytes.end(), piece.begin(), piece.end()); }
    void on_read(std::uint64_t, std::uint32_t, Result<std::uint32_t> result) override { got = std::move(result); }
  };
  MEZ_TRY(const std::string handle,
          ask<std::string>(sftp::Open{.path = path, .flags = sftp::kOpenRead, .attributes = {}}, sftp::handle_of));
  Bytes all;
  Status status;
  while (all.size() < size) {
    auto range = std::make_shared<Range>();
    connection_.files().read(as_bytes(handle), offset + all.size(), size - static_cast<std::uint32_t>(all.size()),
                             range);
    status = connection_.run_until([&] { return range->got.has_value(); });
    if (!status) return std::unexpected(status.error());
    if (!*range->got) status = std::unexpected(range->got->error());
    if (!status || range->bytes.empty()) break;
    all.insert(all.end(), range->bytes.begin(), range->bytes.end());
  }
  const Status closed = ask(sftp::Close{as_bytes(handle)});
  if (!status) return std::unexpected(status.error());
  if (!closed) return std::unexpected(closed.error());
  return all;
}

}  // namespace mezite::client
