// Operations on files of a node that wait for their answer. The errors do not name the path.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/sftp/connection.hh"

namespace mezite::client {

class RemoteFiles {
 public:
  explicit RemoteFiles(SftpConnection& connection) : connection_(connection) {}

  Result<ssh::sftp::Attributes> stat(const std::string& path);  // of what a link points to
  Result<ssh::sftp::Attributes> lstat(const std::string& path);
  // Without "." and "..". A name that could lead out of the folder (one with a slash, an empty one) is the server's
  // doing: kProtocol (CVE-2019-6111).
  Result<std::vector<ssh::sftp::NameEntry>> list(const std::string& folder);
  Status make_directory(const std::string& path, std::uint32_t permissions);
  Status set(const std::string& path, const ssh::sftp::Attributes& attributes);
  Status remove(const std::string& path);
  // "~" and "~user" in front are expanded where the server can; "" is the login's home.
  Result<std::string> expand(const std::string& path);
  // At most size bytes; less at the end of the file.
  Result<Bytes> read_range(const std::string& path, std::uint64_t offset, std::uint32_t size);

  SftpConnection& connection() { return connection_; }

 private:
  template <class T>
  Result<T> ask(const ssh::sftp::Request& request, Result<T> (*meaning)(const Result<ssh::sftp::Reply>&));
  Status ask(const ssh::sftp::Request& request);

  SftpConnection& connection_;
};

}  // namespace mezite::client
