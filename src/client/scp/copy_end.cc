#include "client/scp/copy_end.hh"

namespace mezite::client {

Result<CopyEnd> parse_copy_end(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::size_t slash = text.find('/');
  if (colon == std::string_view::npos || colon == 0 || slash < colon) {
    if (text.empty()) return fail(ErrorCode::kInvalidArgument, "a file without a name; see `msh scp --help`");
    return CopyEnd{.remote = false, .target = {}, .path = std::string(text)};
  }
  CopyEnd out{.remote = true, .target = {}, .path = std::string(text.substr(colon + 1))};
  MEZ_TRY(out.target, parse_target(text.substr(0, colon)));
  if (out.path.find('\0') != std::string::npos) return fail(ErrorCode::kInvalidArgument, "a path with a NUL in it");
  return out;
}

ScpArguments split_scp_arguments(const std::vector<std::string>& args) {
  constexpr std::string_view kShortWithValue = "loPicFSJ";
  ScpArguments out;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "--") {
      out.paths.insert(out.paths.end(), args.begin() + static_cast<std::ptrdiff_t>(i) + 1, args.end());
      break;
    }
    if (arg.size() < 2 || arg[0] != '-') {
      out.paths.push_back(arg);
      continue;
    }
    out.options.push_back(arg);
    bool value_follows = arg == "--login" || arg == "--proxy";
    if (arg[1] != '-') {
      const std::size_t first = arg.find_first_of(kShortWithValue, 1);
      value_follows = first != std::string::npos && first + 1 == arg.size();
    }
    if (value_follows && i + 1 < args.size()) out.options.push_back(args[++i]);
  }
  return out;
}

std::string last_part(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return name == "." || name == ".." ? std::string() : std::string(name);
}

std::string join_path(std::string_view folder, std::string_view name) {
  if (folder.empty() || folder == ".") return std::string(name);
  std::string out(folder);
  if (!out.ends_with('/')) out += '/';
  return out.append(name);
}

bool is_pattern(std::string_view path) { return path.find_first_of("*?[") != std::string_view::npos; }

}  // namespace mezite::client
