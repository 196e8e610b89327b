// msh: flags and help. The one file that includes CLI11.
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "base/clock.hh"
#include "base/text.hh"
#include "client/scp/copy_end.hh"
#include "client/ssh_session.hh"
#include "client/target.hh"
#include "cmd/msh/commands.hh"
#include "cmd/msh/completion.hh"
#include "cmd/msh/session.hh"
#include "cmd/usage/what_is_wrong.hh"
#include "crypto/exit_handler.hh"

namespace mezite::msh {
namespace {

constexpr int kUsage = 2;
constexpr int kFailed = 1;
constexpr int kSshFailed = 255;  // as ssh(1)

constexpr const char* kVersion = MEZITE_VERSION;

Format format_of(const std::string& name) {
  return name == "json" ? Format::kJson : name == "yaml" ? Format::kYaml : Format::kText;
}

struct Flags {
  LoginOptions login;
  ListOptions list;
  SshOptions ssh;
  ScpOptions scp;
  RecordingListOptions recordings;
  PlayOptions play;
  std::string ttl = "12h";
  std::string proxy;
  std::string target;
  std::string login_name;
  std::string shell;
  std::string format = "text";
  bool all = false;
  std::string ignored_text;
  std::vector<std::string> ignored_words;
};

void add_proxy(CLI::App* command, std::string& proxy) {
  command->add_option("--proxy", proxy, "the hub, HOST[:3080]; without it the one of the last login");
}
void add_format(CLI::App* command, std::string& format) {
  command->add_option("--format", format, "text, json or yaml")
      ->check(CLI::IsMember({"text", "json", "yaml"}))
      ->option_text("text|json|yaml");
}

void add_login(CLI::App& app, Flags& flags) {
  auto* login = app.add_subcommand("login", "Log in to a hub and get a certificate");
  login->add_option("--proxy", flags.login.proxy, "the hub's web address, HOST[:3080]");
  login->add_option("--user", flags.login.user, "who you are there; your local user name without it");
  login->add_option("--password", flags.login.password,
                    "visible to others in the list of processes; asked for without it, or read from standard input");
  login->add_option("--ttl", flags.ttl, "how long, e.g. 30m or 8h; at most 24h and what your roles allow")
      ->option_text("DURATION");
  login->add_option("--out", flags.login.out, "also write an OpenSSH identity: PATH, PATH.pub, PATH-cert.pub")
      ->option_text("PATH");
  login->add_option("--ca-pin", flags.login.ca_pin, "the hub's fingerprint, sha256:…, as `mezctl ca status` prints it")
      ->envname("MEZITE_CA_PIN")
      ->option_text("sha256:HEX");
  login->add_flag("--insecure", flags.login.insecure, "do not check the hub's certificate (for trials only)");
  login->add_flag("--no-agent", flags.login.no_agent, "do not put the certificate into a running ssh-agent");
  login->footer(
      "Examples:\n"
      "  msh login --proxy=hub.example:3080 --user=alice\n"
      "  msh login --proxy=hub.example --ca-pin=sha256:5f1c… --ttl=1h\n"
      "  msh login --proxy=hub.example --out=./deploy < password-file");
}

void add_lists(CLI::App& app, Flags& flags) {
  auto* status = app.add_subcommand("status", "Show who you are logged in as, and until when");
  add_proxy(status, flags.proxy);
  add_format(status, flags.format);
  status->footer("Examples:\n  msh status\n  msh status --format=json");

  auto* logout = app.add_subcommand("logout", "End the session and remove its certificate");
  add_proxy(logout, flags.proxy);
  logout->add_flag("--all", flags.all, "from every hub");
  logout->footer("Examples:\n  msh logout\n  msh logout --all");

  auto* list = app.add_subcommand("ls", "List the nodes that you may reach")->alias("list");
  add_proxy(list, flags.list.proxy);
  list->add_option("--search", flags.list.search, "words to look for in names and labels");
  list->add_option("--label", flags.list.labels, "only nodes with this label; may be given more than once")
      ->option_text("KEY=VALUE");
  add_format(list, flags.format);
  list->footer("Examples:\n  msh ls\n  msh ls --search db --label env=prod\n  msh ls --format=json");

  auto* config = app.add_subcommand("config", "Print an ssh_config block for plain ssh, scp, rsync, git, Ansible …");
  add_proxy(config, flags.proxy);
  config->footer("Examples:\n  msh config >> ~/.ssh/config && ssh root@web-01.my-cluster");
}

void add_forwarding(CLI::App* ssh, SshOptions& options) {
  const auto add_list = [ssh](const char* name, std::vector<std::string>& list, const char* text, const char* form) {
    ssh->add_option(name, list, text)->option_text(form)->take_all()->allow_extra_args(false);
  };
  add_list("-L", options.local_forwards, "listen here, connect from the node; may be given more than once",
           "[BIND:]PORT:HOST:PORT");
  add_list("-R", options.remote_forwards, "listen on the node, connect from here; without HOST a SOCKS proxy",
           "[BIND:]PORT[:HOST:PORT]");
  add_list("-D", options.dynamic_forwards, "listen here as a SOCKS proxy (4, 4a, 5) that connects from the node",
           "[BIND:]PORT");
  ssh->add_option("-W", options.stdio_forward, "join standard input and output with an address on the node's side")
      ->option_text("HOST:PORT");
  ssh->add_flag("-A", options.agent, "forward the ssh-agent: who is root on the node can use it while you are there");
  ssh->add_flag("-a", options.no_agent, "do not");
  ssh->add_flag("-X", options.x11, "forward the X11 display, with restricted access");
  ssh->add_flag("-Y", options.trusted_x11, "forward it with full access: its programs can read what you type");
  ssh->add_flag("-x", options.no_x11, "do not");
  ssh->add_flag("-f", options.background, "go to the background when the command or the forwards (-N) are there");
  ssh->add_flag("-n", options.no_input, "read nothing from standard input");
}

void add_ssh(CLI::App& app, Flags& flags) {
  auto* ssh = app.add_subcommand("ssh", "Open a shell on a node, or run a command there");
  // For the help only: main() takes these out before CLI11 sees them.
  ssh->add_option("node", flags.ignored_text, "the node, as `msh ls` shows it")->option_text("[LOGIN@]NODE");
  ssh->add_option("command", flags.ignored_words, "what to run; a shell without it")->option_text("WORD…");
  add_proxy(ssh, flags.ssh.proxy);
  ssh->add_option("-l,--login", flags.ssh.login, "the login on the node");
  ssh->add_flag("-t", flags.ssh.force_pty, "ask for a terminal, for a command too");
  ssh->add_flag("-T", flags.ssh.no_pty, "ask for no terminal");
  ssh->add_flag("-N", flags.ssh.no_session, "run nothing");
  ssh->add_flag("-s", flags.ssh.subsystem, "COMMAND is the name of a subsystem");
  ssh->add_option(
         "-o", flags.ssh.options,
         "an option of ssh_config(5): SetEnv, LocalForward, ExitOnForwardFailure …; most others have no effect")
      ->option_text("KEY=VALUE")
      ->take_all()
      ->allow_extra_args(false);
  ssh->add_option("-p", flags.ignored_text, "taken for the sake of scripts; nodes have no port")->option_text("PORT");
  add_forwarding(ssh, flags.ssh);
  for (const char* name : {"-q", "-v", "-C", "-4", "-6", "-k"}) {
    ssh->add_flag(name)->group("");  // taken for the sake of scripts; group "" is not shown
  }
  ssh->footer(
      "The exit status is the remote one; 255 when msh itself failed. On a terminal, ~. at the start of a line ends "
      "the\n"
      "connection.\n"
      "Examples:\n"
      "  msh ssh root@web-01\n"
      "  msh ssh web-01 uname -a\n"
      "  msh ssh -t web-01 sudo -i\n"
      "  tar c . | msh ssh deploy@web-01 tar x -C /srv\n"
      "  msh ssh -N -L 5432:db.internal:5432 web-01         a database that the node reaches, on port 5432 here\n"
      "  msh ssh -f -N -D 1080 web-01                       a SOCKS proxy on port 1080, in the background\n"
      "  msh ssh -R 8080:localhost:3000 web-01              what runs here on 3000, on port 8080 of the node\n"
      "  msh ssh -N -L ./docker.sock:/run/docker.sock web-01\n"
      "  msh ssh -A web-01 git pull\n"
      "A socket is what has a slash. Whether you may is your roles' to say: port_forwarding, agent_forwarding,\n"
      "x11_forwarding.");

  auto* proxy = app.add_subcommand("proxy", "Helpers for other programs");
  auto* proxy_ssh =
      proxy->add_subcommand("ssh", "Join standard input and output with a node's SSH server (ProxyCommand)");
  add_proxy(proxy_ssh, flags.proxy);
  proxy_ssh->add_option("-l,--login", flags.login_name, "the login on the node");
  proxy_ssh->add_option("target", flags.target, "[LOGIN@]NODE[:PORT]")->required();
  proxy_ssh->footer("Examples:\n  ssh -o ProxyCommand='msh proxy ssh %r@%n' root@web-01");
  proxy->require_subcommand(1);
}

void add_scp(CLI::App& app, Flags& flags) {
  auto* scp = app.add_subcommand("scp", "Copy files to a node, or from one");
  // For the help only: main() takes these out before CLI11 sees them, to which "[a]" is not a file's name.
  scp->add_option("path", flags.ignored_words, "what, and at last where to; on a node: [LOGIN@]NODE:PATH")
      ->option_text("SOURCE… TARGET");
  add_proxy(scp, flags.scp.proxy);
  scp->add_option("-l,--login", flags.scp.login, "the login on nodes that are named without one");
  scp->add_flag("-r,--recursive", flags.scp.recursive, "folders with all that is in them");
  scp->add_flag("-p,--preserve", flags.scp.preserve, "keep times and permissions");
  scp->add_flag("-q,--quiet", flags.scp.quiet, "show no progress");
  scp->add_flag("--resume", flags.scp.resume, "go on with files that are there in part");
  scp->add_option("-o", flags.ignored_text, "taken for the sake of scripts, as -P -i -C -3 -4 -6 -B -O -s -T -v are")
      ->take_last()
      ->option_text("KEY=VALUE");
  for (const char* name : {"-P", "-i", "-c", "-F", "-S", "-J"})
    scp->add_option(name, flags.ignored_text)->take_last()->group("");
  for (const char* name : {"-C", "-3", "-4", "-6", "-B", "-O", "-s", "-T", "-v"}) scp->add_flag(name)->group("");
  scp->footer(
      "A path on a node that begins without a slash begins at the login's home; * ? and [ ] mean what they do in a\n"
      "shell. From node to node the files go through this machine. The exit status is 1 when something was not "
      "copied.\n"
      "Examples:\n"
      "  msh scp report.pdf root@web-01:/tmp/\n"
      "  msh scp -r deploy@web-01:/srv/www ./backup\n"
      "  msh scp 'web-01:/var/log/*.gz' .\n"
      "  msh scp --resume disk.img web-01:\n"
      "  msh scp web-01:app.conf web-02:app.conf");
}

void add_recordings(CLI::App& app, Flags& flags) {
  auto* play = app.add_subcommand("play", "Play a recorded session");
  add_proxy(play, flags.play.proxy);
  play->add_option("session", flags.play.session, "its id, as `msh recordings ls` shows it, or a file")
      ->required()
      ->option_text("SESSION");
  play->add_option("--speed", flags.play.speed, "times as fast (0.1 to 100)")->check(CLI::Range(0.1, 100.0));
  play->add_flag("--skip-idle{2s}", flags.play.skip_idle, "no pause longer than 2s, or than --skip-idle=DURATION");
  play->add_option("--at", flags.play.at, "begin there: 90s, 1m30s or 0:01:30")->option_text("TIME");
  play->add_option("--identity", flags.play.identity, "the file with the private key, of an encrypted recording")
      ->option_text("FILE");
  play->footer(
      "Space pauses, '.' steps, left and right go 5s, down and up a minute, 0-9 tenths, + and - change the speed, q "
      "ends.\n"
      "Without a terminal it plays into the pipe.\n"
      "Examples:\n"
      "  msh play f81d4fae-7dec-41d0-a765-00a0c91e6bf6\n"
      "  msh play f81d4fae-7dec-41d0-a765-00a0c91e6bf6 --speed=4 --skip-idle --at=0:12:30\n"
      "  msh play ./session.mezrec");

  auto* recordings = app.add_subcommand("recordings", "Recorded sessions");
  recordings->require_subcommand(1);
  auto* list =
      recordings->add_subcommand("ls", "List yours, newest first; with the right to it everybody's")->alias("list");
  add_proxy(list, flags.recordings.proxy);
  list->add_option("--user", flags.recordings.user, "of this user");
  list->add_option("--node", flags.recordings.node, "on this node");
  list->add_option("--since", flags.recordings.since, "began a duration ago (10m, 24h, 7d) or at a time, or later");
  list->add_option("--until", flags.recordings.until, "began before a duration ago or a time");
  list->add_option("--limit", flags.recordings.limit, "at most this many")->check(CLI::Range(0, 1000));
  add_format(list, flags.format);
  list->footer("Examples:\n  msh recordings ls --since=7d\n  msh recordings ls --node=web-01 --format=json");
}

Result<int> run(CLI::App& app, Flags& flags) {
  const auto chosen = [&app](const char* name) { return app.got_subcommand(name); };
  if (chosen("login")) {
    const auto ttl = parse_duration(flags.ttl);
    if (!ttl) return wrap(ttl.error(), "--ttl");
    flags.login.ttl = std::chrono::duration_cast<std::chrono::seconds>(*ttl);
    flags.login.password_given = app.get_subcommand("login")->count("--password") > 0;
    return login(std::move(flags.login));
  }
  if (chosen("status")) return status(flags.proxy, format_of(flags.format));
  if (chosen("logout")) return logout(flags.proxy, flags.all);
  if (chosen("ls")) {
    flags.list.format = format_of(flags.format);
    return list_nodes(flags.list);
  }
  if (chosen("config")) return print_config(flags.proxy);
  if (chosen("play")) return play(flags.play);
  if (chosen("recordings")) {
    flags.recordings.format = format_of(flags.format);
    return list_recordings(flags.recordings);
  }
  if (chosen("ssh")) return ssh(flags.ssh);
  if (chosen("scp")) return scp(flags.scp);
  if (chosen("completion")) {
    std::vector<CompletionCommand> commands;
    for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; })) {
      CompletionCommand entry{command->get_name(), command->get_description(), {}};
      for (const auto* option : command->get_options()) {
        for (const auto& name : option->get_lnames()) {
          if (name != "help") entry.flags.push_back("--" + name);
        }
      }
      commands.push_back(std::move(entry));
    }
    MEZ_TRY(const std::string script, completion_script(flags.shell, commands));
    print(script);
    return 0;
  }
  return proxy_ssh(flags.proxy, flags.target, flags.login_name);
}

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  CLI::App app{"msh: SSH through Mezite, with certificates"};
  app.name("msh");
  app.set_version_flag("--version", std::string("msh ") + kVersion);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.footer(
      "Examples:\n  msh login --proxy=hub.example.com:3080 --user=alice\n  msh ls\n  msh ssh root@web-01\n"
      "  msh ssh root@web-01 uptime\n  msh scp report.pdf root@web-01:");
  Flags flags;
  add_login(app, flags);
  add_lists(app, flags);
  add_ssh(app, flags);
  add_scp(app, flags);
  add_recordings(app, flags);
  auto* completion = app.add_subcommand("completion", "Print a completion script for a shell");
  completion->add_option("shell", flags.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->footer("Examples:\n  msh completion bash > /etc/bash_completion.d/msh\n  source <(msh completion zsh)");

  std::vector<std::string> args(argv + 1, argv + argc);
  const bool is_ssh = !args.empty() && args[0] == "ssh";
  if (is_ssh) {
    if (auto blocked = client::prepare_session_signals(); !blocked) {
      note(blocked.error().message);
      return kSshFailed;
    }
    // The command behind the node is the node's business, whatever it looks like.
    auto split = client::split_ssh_arguments({args.begin() + 1, args.end()});
    args = {"ssh"};
    args.insert(args.end(), split.options.begin(), split.options.end());
    flags.ssh.target = std::move(split.target);
    flags.ssh.command = std::move(split.command);
  }
  if (!args.empty() && args[0] == "scp") {
    auto split = client::split_scp_arguments({args.begin() + 1, args.end()});
    args = {"scp"};
    args.insert(args.end(), split.options.begin(), split.options.end());
    flags.scp.paths = std::move(split.paths);
  }
  try {
    std::vector<std::string> reversed(args.rbegin(), args.rend());  // as CLI11 takes them
    app.parse(std::move(reversed));
  } catch (const CLI::Success& done) {
    return app.exit(done);
  } catch (const CLI::ParseError& error) {
    CLI::App* deepest = &app;
    std::string path;
    while (!deepest->get_subcommands().empty()) {
      deepest = deepest->get_subcommands().front();
      path += deepest->get_name() + " ";
    }
    note(fmt::format("{}; see `msh {}--help`", what_is_wrong(error, *deepest), path));
    return is_ssh ? kSshFailed : kUsage;
  }
  if (is_ssh && flags.ssh.target.empty()) {
    note("which node? e.g. `msh ssh root@web-01`; `msh ls` lists what there is");
    return kSshFailed;
  }
  const auto outcome = run(app, flags);
  if (std::fflush(stdout) != 0) note("standard output could not be written");
  if (outcome) return *outcome;
  note(outcome.error().message);
  return is_ssh ? kSshFailed : kFailed;
}

}  // namespace
}  // namespace mezite::msh

int main(int argc, char** argv) {
  mezite::crypto::skip_openssl_exit_handler();
  return mezite::msh::main(argc, argv);
}
