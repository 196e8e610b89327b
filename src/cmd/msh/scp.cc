#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/text.hh"
#include "client/scp/copier.hh"
#include "client/scp/copy_end.hh"
#include "client/scp/local_tree.hh"
#include "client/scp/mover.hh"
#include "client/scp/progress.hh"
#include "client/scp/remote_tree.hh"
#include "client/terminal.hh"
#include "cmd/msh/commands.hh"
#include "cmd/msh/dial.hh"

namespace mezite::msh {
namespace {

using client::CopyEnd;

// The nodes that take part, each with one connection.
class Nodes {
 public:
  explicit Nodes(const ScpOptions& options) : options_(options) {}

  Result<client::RemoteTree*> at(const client::Target& target) {
    const std::string key = target.login + "@" + target.node;
    if (auto found = nodes_.find(key); found != nodes_.end()) return &found->second.tree;
    MEZ_TRY(auto dialled, dial(options_.proxy, target, options_.login));
    client::SftpOptions sftp;
    sftp.login = dialled.target.login;
    sftp.node = dialled.target.node;
    MEZ_TRY(auto identity, identity_of(dialled.session));
    sftp.identities.push_back(std::move(identity));
    MEZ_TRY(sftp.host_cas, client::parse_key_lines(dialled.session.profile.host_cas));
    if (client::is_terminal(STDIN_FILENO)) sftp.answer_prompt = &answer_prompt;
    if (!options_.quiet) {
      sftp.show_banner = [](const std::string& lines) { (void)!::write(STDERR_FILENO, lines.data(), lines.size()); };
    }
    MEZ_TRY(auto connection, client::SftpConnection::open(std::move(dialled.connected.fd), std::move(sftp)));
    auto& node = nodes_.try_emplace(key, std::move(connection)).first->second;
    return &node.tree;
  }

 private:
  struct Node {
    explicit Node(std::unique_ptr<client::SftpConnection> opened) : connection(std::move(opened)) {}
    std::unique_ptr<client::SftpConnection> connection;
    client::RemoteTree tree{*connection};
  };
  const ScpOptions& options_;
  std::map<std::string, Node> nodes_;
};

// What the user can do about it.
std::string with_advice(const Error& why, bool remote) {
  if (!remote) return why.message;
  if (why.code == ErrorCode::kPermissionDenied) return why.message + "; may that login do this there?";
  return why.message;
}

class Copy {
 public:
  explicit Copy(const ScpOptions& options)
      : options_(options),
        nodes_(options),
        progress_(STDERR_FILENO, options.quiet ? client::Progress::Shown::kNo : client::Progress::Shown::kYes) {}

  Result<int> run();

 private:
  Status run_from(const std::vector<CopyEnd>& sources, const CopyEnd& target);
  Result<std::vector<std::string>> paths_of(const CopyEnd& source, client::RemoteTree& tree);
  void failed(const std::string& where, const Error& why, bool remote) {
    progress_.clear();
    note(fmt::format("{}: {}", where, with_advice(why, remote)));
    ++failures_;
  }

  const ScpOptions& options_;
  Nodes nodes_;
  client::Progress progress_;
  std::size_t failures_ = 0;
};

Result<std::vector<std::string>> Copy::paths_of(const CopyEnd& source, client::RemoteTree& tree) {
  MEZ_TRY(const std::string path, tree.files().expand(source.path));
  return tree.matches(path);
}

// Sources of one place, into the target.
Status Copy::run_from(const std::vector<CopyEnd>& sources, const CopyEnd& target) {
  client::LocalTree local;
  client::RemoteTree* from = nullptr;
  client::RemoteTree* to = nullptr;
  if (sources[0].remote) {
    MEZ_TRY(from, nodes_.at(sources[0].target));
  }
  std::string into = target.path;
  if (target.remote) {
    MEZ_TRY(to, nodes_.at(target.target));
    MEZ_TRY(into, to->files().expand(target.path));
  }
  std::vector<std::string> paths;
  for (const auto& source : sources) {
    if (!source.remote) {
      paths.push_back(source.path);
      continue;
    }
    auto found = paths_of(source, *from);
    if (found) {
      paths.insert(paths.end(), found->begin(), found->end());
    } else {
      failed(from->where(source.path), found.error(), true);
    }
  }
  if (paths.empty()) return {};

  client::FileTree& from_tree = from != nullptr ? static_cast<client::FileTree&>(*from) : local;
  client::FileTree& to_tree = to != nullptr ? static_cast<client::FileTree&>(*to) : local;
  const client::MoveOptions how{.preserve = options_.preserve ? client::Preserve::kYes : client::Preserve::kNo,
                                .resume = options_.resume};
  client::MoveEvents events;
  events.started = [&](const client::FileMove& move) {
    progress_.started(client::last_part(move.from), move.entry.size);
  };
  events.progress = [this](std::uint64_t bytes) { progress_.advance(bytes); };
  events.done = [&](const client::FileMove& move, const Status& status, client::CopySide side) {
    progress_.finished(client::last_part(move.from), move.entry.size, status.has_value());
    if (status) return;
    const bool source = side == client::CopySide::kSource;
    failed(source ? from_tree.where(move.from) : to_tree.where(move.to), status.error(),
           source ? from != nullptr : to != nullptr);
  };
  const auto mover = from != nullptr && to != nullptr ? make_relay(*from, *to, how, std::move(events))
                     : from != nullptr                ? make_download(*from, how, std::move(events))
                                                      : make_upload(*to, how, std::move(events));
  client::Copier copier(from_tree, to_tree, {.recursive = options_.recursive, .preserve = how.preserve},
                        [&](const std::string& where, const Error& why) { failed(where, why, from != nullptr); });
  copier.set_mover(*mover);
  return copier.copy(paths, into);
}

Result<int> Copy::run() {
  std::vector<CopyEnd> ends;
  for (const auto& text : options_.paths) {
    MEZ_TRY(auto end, client::parse_copy_end(text));
    ends.push_back(std::move(end));
  }
  const CopyEnd target = ends.back();
  ends.pop_back();
  if (!target.remote && std::ranges::none_of(ends, &CopyEnd::remote)) {
    return fail(ErrorCode::kInvalidArgument,
                "nothing here is on a node; write one end as [LOGIN@]NODE:PATH, or use cp for files of this machine");
  }
  if (!target.remote && !std::ranges::all_of(ends, &CopyEnd::remote)) {
    return fail(ErrorCode::kInvalidArgument,
                "some sources and the target are on this machine; copy those with cp, and the others apart");
  }
  // Sources of one place go together, so that several into a file are noticed.
  const bool several = ends.size() > 1;
  if (several && target.remote) {
    MEZ_TRY(auto* tree, nodes_.at(target.target));
    MEZ_TRY(const std::string path, tree->files().expand(target.path));
    const auto at = tree->stat(path);
    if (!at || at->kind != client::TreeEntry::Kind::kDirectory) {
      return fail(ErrorCode::kInvalidArgument, "{} is no folder, and several files are to go into it; make it first",
                  tree->where(target.path));
    }
  }
  while (!ends.empty()) {
    const CopyEnd first = ends.front();
    const auto here = [&first](const CopyEnd& end) {
      return end.remote == first.remote && end.target.login == first.target.login &&
             end.target.node == first.target.node;
    };
    std::vector<CopyEnd> together;
    std::ranges::copy_if(ends, std::back_inserter(together), here);
    std::erase_if(ends, here);
    MEZ_CHECK(run_from(together, target));
  }
  progress_.clear();
  return failures_ == 0 ? 0 : 1;
}

}  // namespace

Result<int> scp(const ScpOptions& options) {
  if (options.paths.size() < 2) {
    return fail(ErrorCode::kInvalidArgument,
                "from where to where? e.g. `msh scp report.pdf root@web-01:/tmp/`; see `msh scp --help`");
  }
  return Copy(options).run();
}

}  // namespace mezite::msh
