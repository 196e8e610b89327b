// The commands, one function each, with what its flags gave. Each prints its output whole, or fails with one sentence.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.hh"
#include "cmd/mezctl/context.hh"

namespace mezite::mezctl {

struct Password {
  std::string text;  // --password
  bool from_stdin = false;
};

struct LoginFlags {
  std::string username;
  Password password;
};
Status login(Context& context, const LoginFlags& flags);

struct UserFlags {
  std::string name;
  std::optional<std::string> roles;  // "a,b"
  std::vector<std::string> traits;   // "logins=root,ubuntu"
  bool no_traits = false;
  Password password;
};
Status users_create(Context& context, const UserFlags& flags);
Status users_list(Context& context);
Status users_get(Context& context, const std::string& name);
Status users_update(Context& context, const UserFlags& flags);
Status users_delete(Context& context, const std::string& name);
Status users_reset_password(Context& context, const UserFlags& flags);

Status roles_create(Context& context, const std::string& file);  // "-": standard input
Status roles_list(Context& context);
Status roles_get(Context& context, const std::string& name);
Status roles_delete(Context& context, const std::string& name);
struct ExplainFlags {
  std::string user, node, login;
};
Status roles_explain(Context& context, const ExplainFlags& flags);

struct TokenFlags {
  std::string roles = "node";
  std::string ttl = "1h";
  std::string labels;
  std::string join_method = "token";
  std::vector<std::string> aws_accounts, aws_arns;  // for the method iam
};
Status tokens_create(Context& context, const TokenFlags& flags);
Status tokens_list(Context& context);
Status tokens_delete(Context& context, const std::string& id);

Status nodes_list(Context& context);
Status nodes_get(Context& context, const std::string& name);
Status nodes_delete(Context& context, const std::string& name);

// Asks on the terminal, or reads two lines of standard input: the passphrase that is, the one that is to be.
struct PassphraseFlags {
  bool from_stdin = false;
};
Status cluster_rotate_passphrase(Context& context, const PassphraseFlags& flags);

Status ca_status(Context& context);
struct CaStepFlags {
  std::string type;
  bool force = false;
};
Status ca_rotate(Context& context, const CaStepFlags& flags);
Status ca_advance(Context& context, const CaStepFlags& flags);
Status ca_rollback(Context& context, const CaStepFlags& flags);
struct RevokeFlags {
  std::string serial, key_id, user, reason;
};
Status ca_revoke(Context& context, const RevokeFlags& flags);
Status ca_revocations(Context& context);
Status ca_unrevoke(Context& context, const std::string& id);
struct ExportFlags {
  std::string type;
  std::string format;
};
Status ca_export(Context& context, const ExportFlags& flags);

struct WorkloadFlags {
  std::string spiffe_id;
  std::vector<std::string> selectors;
  std::string x509_ttl, jwt_ttl;       // empty: the hub's default
  std::vector<std::string> dns_names;  // each may be a list with commas; audiences as well
  std::vector<std::string> audiences;
  std::string hint;
};
Status workloads_create(Context& context, const WorkloadFlags& flags);
Status workloads_list(Context& context);
Status workloads_get(Context& context, const std::string& name);
Status workloads_delete(Context& context, const std::string& name);
struct SvidFlags {
  std::string name;
  std::string output;                  // of an X509-SVID: the beginning of three paths
  std::vector<std::string> audiences;  // of a JWT-SVID
};
Status workloads_issue(Context& context, const SvidFlags& flags);

struct AuditFlags {
  std::string type, since, until, user, session, text;
  int limit = 100;
};
Status audit_list(Context& context, const AuditFlags& flags);
struct CheckpointFlags {
  std::string file;  // verify: lines to compare with; export: where to write, standard output when empty
};
Status audit_verify(Context& context, const CheckpointFlags& flags);
Status audit_export_checkpoints(Context& context, const CheckpointFlags& flags);
Status audit_sinks(Context& context);
Status audit_follow(Context& context, const AuditFlags& flags);

struct RecordingFilter {
  std::string user, node, since, until;
  int limit = 0;
};
Status recordings_list(Context& context, const RecordingFilter& filter);
struct PlayFlags {
  std::string id;  // a session's, or a file's path
  double speed = 1;
  std::string skip_idle;  // longest pause; empty: as it was
  std::string at;         // "1m30s", "0:01:30"
  std::string identity;   // file
};
Status recordings_play(Context& context, const PlayFlags& flags);
struct RecordingExportFlags {
  std::string id;
  std::string format = "asciicast";
  std::string output;  // empty: standard output
  std::string identity;
  bool input = false;
};
Status recordings_export(Context& context, const RecordingExportFlags& flags);
struct RecordingSearchFlags {
  std::vector<std::string> words;  // "TEXT", or "SESSION TEXT"
  std::string session, user, node, since, until, identity;
  int limit = 100;
};
Status recordings_search(Context& context, const RecordingSearchFlags& flags);
Status recordings_index(Context& context, const std::string& id);  // empty: those that are missing
Status recordings_reindex(Context& context);
struct RecordingDeleteFlags {
  std::string id;
  bool yes = false;
};
Status recordings_delete(Context& context, const RecordingDeleteFlags& flags);
Status recordings_keygen(Context& context, const std::string& output);

// A command's name, what it takes, and what is below it: what completion needs to know.
struct CommandTree {
  std::string name;
  std::vector<std::string> options;  // "--format"
  std::vector<CommandTree> children;
};
// A script for bash, zsh or fish that completes commands and options.
std::string completion_script(std::string_view shell, const CommandTree& root);

}  // namespace mezite::mezctl
