#include "cmd/mezctl/command_line.hh"

#include <fmt/format.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>

#include "base/text.hh"
#include "cmd/mezctl/commands.hh"
#include "cmd/usage/what_is_wrong.hh"

namespace mezite::mezctl {
namespace {

using Run = std::function<Status(Context&)>;

// The flags of all commands; CLI11 writes into it.
struct Flags {
  Globals globals;
  LoginFlags login;
  UserFlags user;
  std::string name;
  std::string file;
  ExplainFlags explain;
  TokenFlags token;
  ExportFlags ca_export;
  PassphraseFlags passphrase;
  CaStepFlags ca_step;
  RevokeFlags revoke;
  WorkloadFlags workload;
  SvidFlags svid;
  AuditFlags audit;
  CheckpointFlags checkpoints;
  RecordingFilter recordings;
  PlayFlags play;
  RecordingExportFlags recording_export;
  RecordingDeleteFlags recording_delete;
  RecordingSearchFlags recording_search;
  std::string shell;
  std::string keygen_output;
};

class CommandLine {
 public:
  CommandLine() : app_("Administers a Mezite hub.", "mezctl") {
    app_.set_version_flag("--version", "mezctl " MEZITE_VERSION);
    app_.set_help_flag("-h,--help", "show this");
    app_.require_subcommand(1);
    app_.fallthrough();
    app_.option_defaults()->always_capture_default(false);
    app_.add_option("--auth-server", flags_.globals.auth_server, "the hub's API, HOST:PORT (default localhost:3025)")
        ->envname("MEZITE_AUTH_SERVER");
    // No envname(): CLI11 would show the variable's value in its errors.
    app_.add_option("--token", flags_.globals.token, "session token, as 'mezctl login' prints it [MEZITE_AUTH_TOKEN]");
    app_.add_option("--ca-pin", flags_.globals.ca_pin, "sha256:… of the hub's CA, as 'mezctl ca status' prints it")
        ->envname("MEZITE_CA_PIN");
    app_.add_flag("--insecure", flags_.globals.insecure, "believe any hub (for trying out only)");
    app_.add_option("--socket", flags_.globals.socket,
                    "the hub's local socket, used when no token is given (default /var/lib/mezite/admin.sock)")
        ->envname("MEZITE_ADMIN_SOCKET");
    app_.footer(
        "Examples:\n"
        "  mezctl users create alice --roles=access --traits logins=ubuntu   on the hub's machine, as root\n"
        "  export MEZITE_AUTH_TOKEN=$(mezctl login --auth-server=hub:3025 --ca-pin=sha256:… --username=alice)\n"
        "  mezctl tokens create --roles=node --ttl=1h\n"
        "  mezctl audit ls --type=access.denied --since=10m\n"
        "'mezctl COMMAND --help' says more.");
    add_login();
    add_users();
    add_roles();
    add_tokens();
    add_nodes();
    add_ca();
    add_workload_identities();
    add_audit();
    add_recordings();
    add_completion();
  }

  int run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::Success& e) {  // --help, --version
      return app_.exit(e);
    } catch (const CLI::ParseError& e) {
      CLI::App* deepest = &app_;
      while (!deepest->get_subcommands().empty()) deepest = deepest->get_subcommands().front();
      fmt::print(stderr, "mezctl: {}; 'mezctl{} --help' shows how\n", what_is_wrong(e, *deepest), path_of(deepest));
      return 2;
    }
    if (const char* token = std::getenv("MEZITE_AUTH_TOKEN"); token && flags_.globals.token.empty()) {
      flags_.globals.token = trim(token);
    }
    Context context(flags_.globals);
    const Status status = chosen_(context);
    wipe(flags_.globals.token);
    if (status) return 0;
    fmt::print(stderr, "mezctl: {}\n", status.error().message);
    return 1;
  }

 private:
  static std::string path_of(const CLI::App* command) {
    return command->get_parent() ? path_of(command->get_parent()) + " " + command->get_name() : std::string();
  }

  CLI::App* group(const std::string& name, const std::string& what) {
    CLI::App* command = app_.add_subcommand(name, what);
    command->require_subcommand(1);
    command->fallthrough();
    command->footer(fmt::format("'mezctl {} COMMAND --help' says more.", name));
    return command;
  }

  CLI::App* command(CLI::App* parent, const std::string& name, const std::string& what, Run run,
                    const std::string& examples = "") {
    CLI::App* sub = parent->add_subcommand(name, what);
    sub->fallthrough();
    sub->footer(examples.empty() ? "" : "Examples:\n" + examples);
    sub->callback([this, run = std::move(run)] { chosen_ = run; });
    return sub;
  }

  CLI::App* with_format(CLI::App* sub) {
    static const std::map<std::string, Format> kFormats{
        {"text", Format::kText}, {"json", Format::kJson}, {"yaml", Format::kYaml}};
    sub->add_option_function<std::string>(
           "--format", [this](const std::string& text) { flags_.globals.format = kFormats.at(text); },
           "text, json or yaml (default text)")
        ->check(CLI::IsMember({"text", "json", "yaml"}));
    return sub;
  }

  // The name as an argument, as --name, and as another flag where it has one.
  CLI::App* with_name(CLI::App* sub, std::string& name, const std::string& flags, const std::string& what) {
    sub->add_option(flags, name, what)->required();
    return sub;
  }

  static void add_password(CLI::App* sub, Password& password) {
    CLI::Option* text = sub->add_option("--password", password.text, "the password (others may see it in ps)");
    sub->add_flag("--password-stdin", password.from_stdin, "read the password from standard input")->excludes(text);
  }

  void add_login() {
    CLI::App* sub = command(
        &app_, "login", "log in, and print a session token",
        [this](Context& context) { return mezctl::login(context, flags_.login); },
        "  export MEZITE_AUTH_TOKEN=$(mezctl login --auth-server=hub:3025 --username=alice)\n"
        "  mezctl login --username=alice --password-stdin < password.txt");
    with_name(sub, flags_.login.username, "username,--username,--user,--name", "who");
    add_password(sub, flags_.login.password);
  }

  void add_users() {
    CLI::App* users = group("users", "who may log in");
    CLI::App* create = with_format(command(
        users, "create", "make a user; prints a one-time link to set the password",
        [this](Context& context) { return users_create(context, flags_.user); },
        "  mezctl users create alice --roles=access,auditor --traits logins=ubuntu,root\n"
        "  echo \"$PASSWORD\" | mezctl users create bob --roles=developer --password-stdin"));
    with_name(create, flags_.user.name, "name,--name,--username", "the new user");
    create->add_option("--roles", flags_.user.roles, "role names, separated by commas");
    create->add_option("--traits", flags_.user.traits, "NAME=VALUE,VALUE; may be given again")->allow_extra_args(false);
    add_password(create, flags_.user.password);
    with_format(command(users, "ls", "list users", users_list))->alias("list");
    with_name(with_format(command(users, "get", "show a user",
                                  [this](Context& context) { return users_get(context, flags_.name); })),
              flags_.name, "name,--name,--username", "which user");
    CLI::App* update = with_format(command(
        users, "update", "change roles or traits",
        [this](Context& context) { return users_update(context, flags_.user); },
        "  mezctl users update alice --roles=access\n  mezctl users update alice --traits logins=deploy"));
    with_name(update, flags_.user.name, "name,--name,--username", "which user");
    update->add_option("--roles", flags_.user.roles, "all of the user's roles from now on");
    update->add_option("--traits", flags_.user.traits, "all of the user's traits from now on; may be given again")
        ->allow_extra_args(false);
    update->add_flag("--no-traits", flags_.user.no_traits, "take all traits away");
    CLI::App* remove = command(users, "delete", "remove a user",
                               [this](Context& context) { return users_delete(context, flags_.name); });
    remove->alias("rm");
    with_name(remove, flags_.name, "name,--name,--username", "which user");
    CLI::App* reset = with_format(command(
        users, "reset-password", "make a one-time link for a new password, or set one",
        [this](Context& context) { return users_reset_password(context, flags_.user); },
        "  mezctl users reset-password alice\n  mezctl users reset-password alice --password-stdin < new.txt"));
    with_name(reset, flags_.user.name, "name,--name,--username", "which user");
    add_password(reset, flags_.user.password);
  }

  void add_roles() {
    CLI::App* roles = group("roles", "what users may do");
    CLI::App* create = with_format(command(
        roles, "create", "make or replace a role",
        [this](Context& context) { return roles_create(context, flags_.file); },
        "  mezctl roles create --from-file=developer.yaml\n"
        "  mezctl roles get developer | sed s/dev/prod/ | mezctl roles create "
        "--from-file=-"));
    create->add_option("--from-file,-f", flags_.file, "the role as YAML or JSON; - is standard input")->required();
    with_format(command(roles, "ls", "list roles", roles_list))->alias("list");
    with_name(with_format(command(roles, "get", "show a role as it was written",
                                  [this](Context& context) { return roles_get(context, flags_.name); })),
              flags_.name, "name,--name", "which role");
    CLI::App* remove = command(roles, "delete", "remove a role",
                               [this](Context& context) { return roles_delete(context, flags_.name); });
    remove->alias("rm");
    with_name(remove, flags_.name, "name,--name", "which role");
    CLI::App* explain = with_format(command(
        roles, "explain", "why a user may, or may not, log in to a node",
        [this](Context& context) { return roles_explain(context, flags_.explain); },
        "  mezctl roles explain --user=alice --node=web-01 --login=root"));
    explain->add_option("--user,--username", flags_.explain.user, "who")->required();
    explain->add_option("--node", flags_.explain.node, "where to")->required();
    explain->add_option("--login", flags_.explain.login, "as whom")->required();
  }

  void add_tokens() {
    CLI::App* tokens = group("tokens", "one-time tokens that nodes join with");
    CLI::App* create = with_format(command(
        tokens, "create", "make a token", [this](Context& context) { return tokens_create(context, flags_.token); },
        "  mezctl tokens create --roles=node --ttl=1h --labels=env=prod,team=db\n"
        "  MEZITE_JOIN_TOKEN=$(mezctl tokens create --roles=node)\n"
        "  mezctl tokens create --roles=node --ttl=720h --join-method=iam --aws-account=111122223333"));
    create->add_option("--roles,--type", flags_.token.roles, "what may join with it (default node)");
    create->add_option("--ttl", flags_.token.ttl, "how long it can be used (default 1h)");
    create->add_option("--labels", flags_.token.labels, "labels that the node gets, name=value,name=value");
    create->add_option("--join-method", flags_.token.join_method,
                       "token: a secret, for one node (default); iam: no secret, for machines of AWS accounts");
    create->add_option("--aws-account", flags_.token.aws_accounts, "with iam: an account whose machines may join")
        ->delimiter(',');
    create
        ->add_option("--aws-arn", flags_.token.aws_arns,
                     "with iam: only these callers, such as arn:aws:sts::111122223333:assumed-role/web-nodes/*")
        ->delimiter(',');
    with_format(command(tokens, "ls", "list tokens", tokens_list))->alias("list");
    CLI::App* remove = command(tokens, "rm", "remove a token",
                               [this](Context& context) { return tokens_delete(context, flags_.name); });
    remove->alias("delete");
    with_name(remove, flags_.name, "id,--id,--name", "its id, as 'mezctl tokens ls' shows it");
  }

  void add_nodes() {
    CLI::App* nodes = group("nodes", "the machines that users reach");
    with_format(command(nodes, "ls", "list nodes", nodes_list))->alias("list");
    with_name(with_format(command(nodes, "get", "show a node",
                                  [this](Context& context) { return nodes_get(context, flags_.name); })),
              flags_.name, "name,--name", "its name or id");
    CLI::App* remove = command(nodes, "rm", "forget a node and end its connections",
                               [this](Context& context) { return nodes_delete(context, flags_.name); });
    remove->alias("delete");
    with_name(remove, flags_.name, "name,--name", "its name or id");
  }

  void add_ca() {
    CLI::App* cluster = group("cluster", "the cluster as a whole");
    command(
        cluster, "rotate-passphrase", "encrypt CA keys and all other secrets with another passphrase",
        [this](Context& context) { return cluster_rotate_passphrase(context, flags_.passphrase); },
        "  printf '%s\\n%s\\n' \"$OLD\" \"$NEW\" | mezctl cluster rotate-passphrase --stdin")
        ->add_flag("--stdin", flags_.passphrase.from_stdin, "read the old one and the new one, a line each");
    CLI::App* ca = group("ca", "the certificate authorities");
    with_format(command(ca, "status", "keys, rotation, expiry, and the pin that clients check", ca_status));
    const auto add_step = [&](const std::string& name, const std::string& what,
                              Status (*step)(Context&, const CaStepFlags&)) {
      CLI::App* sub = with_format(command(
          ca, name, what, [this, step](Context& context) { return step(context, flags_.ca_step); },
          fmt::format("  mezctl ca {} --type=host", name)));
      sub->add_option("--type", flags_.ca_step.type, "user, host or spiffe")
          ->required()
          ->check(CLI::IsMember({"user", "host", "spiffe"}));
      return sub;
    };
    add_step("rotate", "make a new key, which everybody comes to trust before it signs", ca_rotate);
    add_step("advance", "go to the next phase of a rotation, or end a rollback", ca_advance)
        ->add_flag("--force", flags_.ca_step.force, "although nodes are cut off by it");
    add_step("rollback", "let the previous key sign again", ca_rollback);
    CLI::App* revoke = with_format(command(
        ca, "revoke", "refuse user certificates before their time",
        [this](Context& context) { return ca_revoke(context, flags_.revoke); },
        "  mezctl ca revoke --user=alice --reason='laptop lost'\n  mezctl ca revoke --serial=1234567890123456789"));
    CLI::Option_group* what = revoke->add_option_group("what", "one of these");
    what->require_option(1);
    what->add_option("--serial", flags_.revoke.serial, "one certificate, by its serial number");
    what->add_option("--key-id", flags_.revoke.key_id, "every certificate with this key id, also those to come");
    what->add_option("--user", flags_.revoke.user,
                     "every certificate that this user holds; a new login gives a good one");
    revoke->add_option("--reason", flags_.revoke.reason, "why, for the list and the audit log");
    with_format(command(ca, "revocations", "list what is revoked", ca_revocations));
    CLI::App* unrevoke = command(ca, "unrevoke", "lift a revocation",
                                 [this](Context& context) { return ca_unrevoke(context, flags_.name); });
    with_name(unrevoke, flags_.name, "id,--id", "its id, as 'mezctl ca revocations' shows it");
    CLI::App* out = command(
        ca, "export", "print an authority's public key or certificate",
        [this](Context& context) {
          if (flags_.ca_export.type.empty()) {
            if (flags_.ca_export.format != "krl") {
              return Status(fail(ErrorCode::kInvalidArgument, "--type is missing: user, host or spiffe"));
            }
            flags_.ca_export.type = "user";
          }
          if (flags_.ca_export.format.empty()) {
            flags_.ca_export.format = flags_.ca_export.type == "spiffe" ? "x509" : "openssh";
          }
          return mezctl::ca_export(context, flags_.ca_export);
        },
        "  echo \"@cert-authority * $(mezctl ca export --type=host --format=openssh)\" >> ~/.ssh/known_hosts");
    out->add_option("--type", flags_.ca_export.type, "user, host or spiffe; krl is of user")
        ->check(CLI::IsMember({"user", "host", "spiffe"}));
    out->add_option("--format", flags_.ca_export.format,
                    "openssh, x509, krl: revoked certificates, for sshd's RevokedKeys, or spiffe-bundle")
        ->check(CLI::IsMember({"openssh", "x509", "krl", "spiffe-bundle"}));
  }

  void add_workload_identities() {
    CLI::App* workloads = group("workload-identity", "SPIFFE IDs of programs on nodes");
    CLI::App* create = with_format(command(
        workloads, "create", "register a SPIFFE ID for the processes that all selectors fit",
        [this](Context& context) { return workloads_create(context, flags_.workload); },
        "  mezctl workload-identity create /payments --selector=unix:user:payments --selector=node:label:env=prod\n"
        "  mezctl workload-identity create spiffe://prod.example/web --selector=systemd:unit:nginx.service \\\n"
        "    --selector=node:name:web-01 --dns=web.prod.example --x509-ttl=30m\n"
        "Selectors: unix:uid:1000, unix:gid:1000, unix:user:NAME, unix:group:NAME, unix:path:/usr/bin/PROGRAM,\n"
        "systemd:unit:NAME.service, node:name:NODE, node:label:NAME=VALUE."));
    with_name(create, flags_.workload.spiffe_id, "spiffe-id,--spiffe-id,--name",
              "spiffe://CLUSTER/PATH, or /PATH alone");
    create->add_option("--selector,-s", flags_.workload.selectors, "what a process must be; may be given again")
        ->required()
        ->allow_extra_args(false);
    create->add_option("--x509-ttl", flags_.workload.x509_ttl, "how long an X509-SVID lives (default 1h, up to 24h)");
    create->add_option("--jwt-ttl", flags_.workload.jwt_ttl, "how long a JWT-SVID lives (default 5m, up to 1h)");
    create->add_option("--dns", flags_.workload.dns_names, "DNS names in X509-SVIDs, separated by commas")
        ->allow_extra_args(false);
    create->add_option("--jwt-audience", flags_.workload.audiences, "the only audiences of JWT-SVIDs (default any)")
        ->allow_extra_args(false);
    create->add_option("--hint", flags_.workload.hint, "tells a workload with several identities which one this is");
    with_format(command(workloads, "ls", "list registrations", workloads_list))->alias("list");
    const std::string which = "its id, SPIFFE ID or path";
    with_name(with_format(command(workloads, "get", "show a registration",
                                  [this](Context& context) { return workloads_get(context, flags_.name); })),
              flags_.name, "name,--name,--id,--spiffe-id", which);
    CLI::App* remove = command(workloads, "rm", "remove a registration",
                               [this](Context& context) { return workloads_delete(context, flags_.name); });
    remove->alias("delete");
    with_name(remove, flags_.name, "name,--name,--id,--spiffe-id", which);
    CLI::App* issue = with_format(command(
        workloads, "issue", "sign an SVID by hand, whatever the selectors say",
        [this](Context& context) { return workloads_issue(context, flags_.svid); },
        "  mezctl workload-identity issue /payments --out=payments     writes payments.key, .crt and -bundle.crt\n"
        "  TOKEN=$(mezctl workload-identity issue /payments --audience=orders)"));
    with_name(issue, flags_.svid.name, "name,--name,--id,--spiffe-id", which);
    CLI::Option_group* what = issue->add_option_group("what", "one of these");
    what->require_option(1);
    what->add_option("--out,-o", flags_.svid.output, "an X509-SVID: PATH.key, PATH.crt and PATH-bundle.crt");
    what->add_option("--audience,--aud", flags_.svid.audiences, "a JWT-SVID for this audience; may be given again")
        ->allow_extra_args(false);
  }

  void add_audit_filter(CLI::App* sub) {
    sub->add_option("--type", flags_.audit.type, "event type; 'user.*' is every type of users");
    sub->add_option("--user", flags_.audit.user, "of this user");
    sub->add_option("--session", flags_.audit.session, "of this session id");
  }

  void add_audit() {
    CLI::App* audit = group("audit", "what happened");
    CLI::App* list = with_format(command(
        audit, "ls", "list events, newest first",
        [this](Context& context) { return audit_list(context, flags_.audit); },
        "  mezctl audit ls --type=access.denied --since=10m\n"
        "  mezctl audit ls --user=alice --since=2026-03-24 --format=json"));
    list->alias("list");
    add_audit_filter(list);
    list->add_option("--text", flags_.audit.text, "all of these words: 'web-01 denied', 'den*'");
    list->add_option("--since", flags_.audit.since, "a duration ago (10m, 24h) or a time");
    list->add_option("--until", flags_.audit.until, "a duration ago or a time");
    list->add_option("--limit", flags_.audit.limit, "at most this many (default 100, up to 1000000)");
    CLI::App* verify = with_format(command(
        audit, "verify", "walk the chain and name the first bad event",
        [this](Context& context) { return audit_verify(context, flags_.checkpoints); },
        "  mezctl audit verify --checkpoints=/backup/mezite-checkpoints.jsonl"));
    verify->add_option("--checkpoints", flags_.checkpoints.file, "compare with the exported checkpoints in this file");
    CLI::App* checkpoints = audit->add_subcommand("checkpoints", "signed checkpoints, to be kept on another machine");
    checkpoints->require_subcommand(1);
    CLI::App* exported = command(
        checkpoints, "export", "make one and print all, one JSON object a line",
        [this](Context& context) { return audit_export_checkpoints(context, flags_.checkpoints); },
        "  mezctl audit checkpoints export | ssh backup 'cat > mezite-checkpoints.jsonl'");
    exported->add_option("--output,-o", flags_.checkpoints.file, "a file in place of standard output");
    with_format(command(audit, "sinks", "where events are sent to, and how far each is behind", audit_sinks));
    CLI::App* follow = with_format(command(audit, "follow", "print events as they come, until interrupted",
                                           [this](Context& context) { return audit_follow(context, flags_.audit); }));
    add_audit_filter(follow);
  }

  void add_recordings() {
    CLI::App* recordings = group("recordings", "recorded sessions");
    CLI::App* list = with_format(command(
        recordings, "ls", "list recordings, newest first: your own, or with the right to it everybody's",
        [this](Context& context) { return recordings_list(context, flags_.recordings); },
        "  mezctl recordings ls --user=alice --node=web-01 --since=7d\n"
        "  mezctl recordings ls --since=2026-03-24 --format=json"));
    list->alias("list");
    list->add_option("--user", flags_.recordings.user, "of this user");
    list->add_option("--node", flags_.recordings.node, "on this node");
    list->add_option("--since", flags_.recordings.since, "began a duration ago (10m, 24h, 7d) or at a time, or later");
    list->add_option("--until", flags_.recordings.until, "began before a duration ago or a time");
    list->add_option("--limit", flags_.recordings.limit, "at most this many")->check(CLI::Range(0, 1000));
    CLI::App* play = command(
        recordings, "play", "play a session on this terminal",
        [this](Context& context) { return recordings_play(context, flags_.play); },
        "  mezctl recordings play f81d4fae-7dec-41d0-a765-00a0c91e6bf6 --speed=2 --skip-idle\n"
        "  mezctl recordings play f81d4fae-7dec-41d0-a765-00a0c91e6bf6 --at=0:12:30\n"
        "  mezctl recordings play ./f81d4fae-7dec-41d0-a765-00a0c91e6bf6.mezrec\n"
        "Space pauses, '.' steps, left and right go 5s, down and up a minute, 0-9 tenths, + and - change the speed, q "
        "ends.\n"
        "Without a terminal it plays into the pipe.");
    with_name(play, flags_.play.id, "id,--id,--name", "session id, as 'mezctl recordings ls' shows it, or a file");
    play->add_option("--speed", flags_.play.speed, "times as fast (0.1 to 100)")->check(CLI::Range(0.1, 100.0));
    play->add_flag("--skip-idle{2s}", flags_.play.skip_idle, "no pause longer than 2s, or than --skip-idle=DURATION");
    play->add_option("--at", flags_.play.at, "begin there: 90s, 1m30s or 0:01:30");
    play->add_option("--identity", flags_.play.identity, "the file with the private key, of an encrypted recording");
    CLI::App* out = command(
        recordings, "export", "convert a session",
        [this](Context& context) { return recordings_export(context, flags_.recording_export); },
        "  mezctl recordings export ID --format=asciicast > session.cast; asciinema play "
        "session.cast\n"
        "  mezctl recordings export ID --format=text | grep rm");
    with_name(out, flags_.recording_export.id, "id,--id,--name", "session id, or a file");
    out->add_option("--format", flags_.recording_export.format, "asciicast (default) or text")
        ->check(CLI::IsMember({"asciicast", "text"}));
    out->add_option("--output,-o", flags_.recording_export.output, "a file instead of standard output");
    out->add_flag("--input", flags_.recording_export.input, "asciicast: what was typed, too (it may hold passwords)");
    out->add_option("--identity", flags_.recording_export.identity,
                    "the file with the private key, of an encrypted recording");
    add_recording_search(recordings);
    CLI::App* remove = command(
        recordings, "rm", "remove a recording for good",
        [this](Context& context) { return recordings_delete(context, flags_.recording_delete); },
        "  mezctl recordings rm f81d4fae-7dec-41d0-a765-00a0c91e6bf6 --yes\n"
        "Asks first, on a terminal. The audit log says who removed whose recording.");
    remove->alias("delete");
    with_name(remove, flags_.recording_delete.id, "id,--id,--name", "session id");
    remove->add_flag("--yes,-y", flags_.recording_delete.yes, "do not ask");
    CLI::App* keygen = command(
        recordings, "keygen", "make a key that recordings can be encrypted to",
        [this](Context& context) { return recordings_keygen(context, flags_.keygen_output); },
        "  mezctl recordings keygen --output=recordings.key      prints the public key, for recording.recipients\n"
        "  mezctl recordings play ID --identity=recordings.key\n"
        "Keep the private key away from hub and nodes: they only need the public one.");
    keygen->add_option("--output,-o", flags_.keygen_output, "a new file for the private key");
  }

  void add_recording_search(CLI::App* recordings) {
    RecordingSearchFlags& flags = flags_.recording_search;
    CLI::App* search = with_format(command(
        recordings, "search", "find commands in recorded sessions, or text in one of them",
        [&flags](Context& context) { return recordings_search(context, flags); },
        "  mezctl recordings search 'rm -rf' --since=7d                      who ran it, last week\n"
        "  mezctl recordings search 'systemctl stop' --user=alice --node=db-01\n"
        "  mezctl recordings search f81d4fae-7dec-41d0-a765-00a0c91e6bf6 'permission denied'\n"
        "With a session it looks through all that the session showed; without one, through the commands of all "
        "sessions.\n"
        "'mezctl recordings play SESSION --at=OFFSET' goes to what was found."));
    search->add_option("text", flags.words, "what to find, any part of it, capitals or not")
        ->required()
        ->expected(1, 2)
        ->option_text("[SESSION] TEXT");
    search->add_option("--session", flags.session, "commands of this session only");
    search->add_option("--user", flags.user, "of this user");
    search->add_option("--node", flags.node, "on this node");
    search->add_option("--since", flags.since, "run a duration ago (10m, 24h, 7d) or at a time, or later");
    search->add_option("--until", flags.until, "run before a duration ago or a time");
    search->add_option("--limit", flags.limit, "at most this many (default 100)")->check(CLI::Range(1, 100000));
    search->add_option("--identity", flags.identity,
                       "with a session: the file with the private key, if it is encrypted");
    CLI::App* index = command(
        recordings, "index", "put recordings into the index of commands that are not in it",
        [this](Context& context) { return recordings_index(context, flags_.name); },
        "  mezctl recordings index\n"
        "  mezctl recordings index f81d4fae-7dec-41d0-a765-00a0c91e6bf6      this one again\n"
        "Recordings are indexed when they arrive; this is for those from before, and after a restored backup.");
    index->add_option("id,--id", flags_.name, "session id; without one all that are missing");
    with_format(command(
        recordings, "reindex", "list recordings again that are on the hub's disk or in S3, but not listed",
        [](Context& context) { return recordings_reindex(context); },
        "  mezctl recordings reindex\n"
        "  mezctl recordings reindex --format=json | jq '.recordings[] | select(.taken | not)'\n"
        "For a hub whose recordings/index.jsonl was lost, or a new hub with the bucket of an old one. What is listed\n"
        "stays as it is: it may run at any time, and again. 'mezctl recordings index' then makes commands "
        "searchable."));
  }

  static CommandTree tree_of(const CLI::App* command) {
    CommandTree tree{.name = command->get_name()};
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) tree.options.push_back("--" + name);
    }
    for (const CLI::App* child : command->get_subcommands([](const CLI::App*) { return true; })) {
      tree.children.push_back(tree_of(child));
    }
    return tree;
  }

  void add_completion() {
    CLI::App* sub = command(
        &app_, "completion", "print a completion script for a shell",
        [this](Context& context) { return context.print(completion_script(flags_.shell, tree_of(&app_))); },
        "  source <(mezctl completion bash)");
    sub->add_option("shell", flags_.shell, "bash, zsh or fish")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  }

  CLI::App app_;
  Flags flags_;
  Run chosen_;
};

}  // namespace

int run(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);  // a reader that has gone is an error of write(2)
  try {
    CommandLine line;
    return line.run(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "mezctl: {}\n", printable(e.what()));
    return 1;
  }
}

}  // namespace mezite::mezctl
