// ATTRS of draft-ietf-secsh-filexfer-02 §5.
#pragma once

#include <cstdint>
#include <optional>

#include "ssh/wire/reader.hh"
#include "ssh/wire/writer.hh"

namespace mezite::ssh::sftp {

// What is not there was not said. Extended attributes are read over: nobody here has a use for them.
struct Attributes {
  struct Owner {
    std::uint32_t user = 0;
    std::uint32_t group = 0;
    bool operator==(const Owner&) const = default;
  };
  struct Times {  // seconds since 1970
    std::uint32_t access = 0;
    std::uint32_t modification = 0;
    bool operator==(const Times&) const = default;
  };

  std::optional<std::uint64_t> size;  // bytes
  std::optional<Owner> owner;
  std::optional<std::uint32_t> permissions;  // as st_mode, the type of file included
  std::optional<Times> times;

  bool operator==(const Attributes&) const = default;

  // By the type in permissions; false when it was not said.
  bool is_directory() const { return is_type(0040000); }
  bool is_regular() const { return is_type(0100000); }
  bool is_link() const { return is_type(0120000); }

  static Attributes read(Reader& in);
  void write(Writer& out) const;

 private:
  bool is_type(std::uint32_t type) const { return permissions && (*permissions & 0170000) == type; }
};

}  // namespace mezite::ssh::sftp
