"""Which commands were run in recorded sessions: found across sessions and within one, by those who may."""
import json
import os
import shutil
import signal
import sqlite3
import subprocess

import pytest
from harness.cluster import BIN
from harness.terminal import Terminal
from harness.wait import until

SECRET = "tr0ub4dor-and-3"


@pytest.fixture(scope="module", autouse=True)
def people(cluster):
    cluster.user("bob", "developer")
    cluster.login_as("bob")
    cluster.user("carol", "auditor")


def shell(cluster, user: str = "alice") -> Terminal:
    # A terminal as wide as a person's, and a plain bash: what it draws while lines are edited is readline's.
    terminal = Terminal(cluster.ssh_argv(user, "web-01", "-tt", "env", "PS1='ready> '", "HISTFILE=", "bash", "--norc", "--noprofile", "-i"), columns=100)
    terminal.expect("ready> ")
    return terminal


def line(terminal: Terminal, text: str, then: str = "ready> "):
    terminal.type(text)
    terminal.type("\r")
    terminal.expect(r"\n")
    terminal.expect(then)


def ended(cluster, terminal: Terminal, user: str = "alice") -> str:
    """Leaves the shell; the id of the session once its commands are found."""
    before = {r["session_id"] for r in cluster.recordings() if r["complete"]}
    terminal.type("exit\r")
    terminal.wait()
    new = until(lambda: [r for r in cluster.recordings() if r["complete"] and r["session_id"] not in before and r["user"] == user and r["kind"] == "pty"], "the recording")
    session = new[0]["session_id"]
    until(lambda: found(cluster, "--session=" + session, text="exit"), "the index to hold the session")
    return session


def found(cluster, *filters, text: str) -> list[dict]:
    return json.loads(cluster.mezctl("recordings", "search", text, "--format=json", *filters))


def commands(cluster, session: str) -> list[str]:
    """In the order in which they were run, without the one that began the session and its exit."""
    listed = sorted(found(cluster, "--session=" + session, text=" ", ) + found(cluster, "--session=" + session, text="x"), key=lambda c: int(c["offset_ms"]))
    return list(dict.fromkeys(c["command"] for c in listed))


@pytest.fixture(scope="module")
def edited(cluster):
    terminal = shell(cluster)
    line(terminal, "echo plain-command x")
    line(terminal, "echo teh\x7f\x7fhe corrected x")           # backspace
    line(terminal, "cho at the front x\x01e")                    # ^A, and a letter put in
    line(terminal, "\x1b[A")                                    # the one before, from history
    line(terminal, "\x12plain-com")                             # ^R: reverse search
    line(terminal, "ls /etc/host\tname x")                      # completion goes on with 'name' or 's'; the rest is typed
    line(terminal, "echo " + "long-" * 40 + " x")               # wrapped over several rows
    return ended(cluster, terminal)


def test_lines_are_found_as_they_were_seen(cluster, edited):
    got = commands(cluster, edited)
    assert got.count("echo plain-command x") == 1 and len(found(cluster, "--session=" + edited, text="plain-command x")) == 2
    assert "echo the corrected x" in got
    assert "echo at the front x" in got and len(found(cluster, "--session=" + edited, text="at the front x")) == 2
    assert any(c.startswith("ls /etc/host") and c.endswith("x") for c in got)
    assert "echo " + "long-" * 40 + " x" in got
    assert not any("ready>" in c or "reverse-i-search" in c for c in got if not c.startswith("env PS1="))


def test_offset_is_where_it_can_be_played(cluster, edited):
    command = found(cluster, "--session=" + edited, text="corrected x")[0]
    assert (command["user"], command["node"], command["login"], command["kind"]) == ("alice", "web-01", cluster.login, "pty")
    played = cluster.mezctl("recordings", "play", edited, f"--at={int(command['offset_ms'])}ms", "--speed=100", "--skip-idle=1ms")
    assert "corrected x" in played


def test_secrets_without_echo_are_not_in_the_index(cluster):
    terminal = shell(cluster)
    terminal.type("read -s -p Wo''rd:' ' PASSWORD x\r")
    terminal.expect("Word: ")
    terminal.type(SECRET + "\r")
    terminal.expect("ready> ")
    line(terminal, "echo ${#PASSWORD} x", r"15")
    terminal.type("python3 -c 'import getpass; getpass.getpass(\"Word\" + \" x: \")'\r")
    terminal.expect("Word x: ")
    for letter in SECRET:
        terminal.type(letter)
    terminal.type("\r")
    terminal.expect("ready> ")
    session = ended(cluster, terminal)
    assert found(cluster, text=SECRET) == []
    assert "read -s -p Wo''rd:' ' PASSWORD x" in commands(cluster, session)
    with sqlite3.connect(f"file:{cluster.data}/mezhub.db?mode=ro", uri=True) as database:
        dump = "\n".join(str(row) for row in database.execute("SELECT * FROM recorded_commands"))
        dump += "\n".join(str(row) for row in database.execute("SELECT * FROM recorded_command_text_data"))
    assert SECRET not in dump


def test_full_screen_programs_give_no_commands(cluster, tmp_path):
    terminal = shell(cluster)
    terminal.type("export TERM=xterm x=y\r")
    terminal.expect("ready> ")
    terminal.type("seq 1 300 | less\r")
    terminal.expect(r"\x1b\[\?1049h")
    terminal.type("/rm -rf x in less\r")
    terminal.type("q")
    terminal.expect(r"\x1b\[\?1049l")
    terminal.expect("ready> ")
    line(terminal, "echo after-less x")
    session = ended(cluster, terminal)
    got = commands(cluster, session)
    assert "echo after-less x" in got
    assert not any("in less" in c for c in got)


@pytest.fixture
def multiplexed(cluster, request):
    """A shell whose home has what tmux or GNU screen needs; what they leave running is ended."""
    name = request.param
    home = cluster.dir / f"home-{name}"
    home.mkdir(mode=0o700)
    (home / "rc").write_text("PS1='ready> ' HISTFILE=\n")  # what is not interactive takes it out of the environment
    (home / "shell").write_text(f"#!/bin/sh\nexec bash --rcfile {home}/rc --noprofile\n")
    (home / ".tmux.conf").write_text(f"set -g default-command {home}/shell\nset -g assume-paste-time 0\n")  # keys that come at once are keys
    (home / "shell").chmod(0o755)
    (home / ".screenrc").write_text(f"startup_message off\nshell {home}/shell\n")
    (home / ".vimrc").write_text("set nocompatible showmode formatoptions+=ro comments=b:#\n")
    for path in [home, *home.iterdir()]:
        shutil.chown(path, cluster.login)
    environment = [f"HOME={home}", f"TMUX_TMPDIR={home}", f"SCREENDIR={home}", "PS1=ready> ", "HISTFILE=", "SHELL=/bin/bash"]
    terminal = Terminal(cluster.ssh_argv("alice", "web-01", "-tt", *(f"'{part}'" for part in ["env", *environment, "bash", "--norc", "--noprofile", "-i"])), columns=100)
    terminal.expect("ready> ")
    line(terminal, f"cd {home}")
    yield name, terminal
    for socket in home.glob("tmux-*/default"):
        subprocess.run(["tmux", "-S", socket, "kill-server"], capture_output=True)
    for socket in home.glob("[0-9]*.*"):
        os.kill(int(socket.name.split(".")[0]), signal.SIGTERM)


def ran(terminal: Terminal, text: str, then: str):
    terminal.type_and_see(text)
    terminal.type("\r")
    terminal.expect(then + r"[\s\S]*?ready> ")
    terminal.settle()


@pytest.mark.parametrize("multiplexed", ["tmux", "screen"], indirect=True)
def test_commands_inside_a_multiplexer(cluster, multiplexed):
    name, terminal = multiplexed
    prefix = {"tmux": "\x02", "screen": "\x01"}[name]
    line(terminal, name, r"\x1b\[\?1049h[\s\S]*ready> ")
    ran(terminal, "echo plain-$((1+1))", "plain-2")
    ran(terminal, "echo teh\x7f\x7fhe-$((1+1))", "the-2")        # backspace
    terminal.type("\x1b[A")                                     # history
    terminal.expect("the-.*1")
    ran(terminal, "", "the-2")
    terminal.type("read -s -p Wo''rd:' ' PASSWORD\r")
    terminal.expect("Word: ")
    terminal.type(SECRET + "\r")
    terminal.expect("ready> ")
    ran(terminal, "seq 1 60", "60")
    ran(terminal, "echo at-the-bottom-$((1+1))", "bottom-2")

    terminal.type_and_see("vim.tiny note")
    terminal.type("\r")
    terminal.expect("New")
    terminal.type("i")
    terminal.expect("INSERT")
    terminal.type("# a-comment in vim\r")
    terminal.expect("in vim")
    terminal.type("typed behind its leader in vim\r")
    terminal.expect("leader in vim")
    terminal.type("\x0f:q!\r")  # one command, and no pause that tells Escape from Alt
    terminal.expect({"tmux": r"vim\.tiny note[\s\S]*?ready> ", "screen": "ready> "}[name])  # tmux draws what was there before
    ran(terminal, "echo after-vim-$((1+1))", "vim-2")
    terminal.type_and_see("seq 1 300 | less")
    terminal.type("\r")
    terminal.expect("20")
    terminal.type("/rm -rf in less\r")
    terminal.expect("not found")
    terminal.type("\rq")
    terminal.expect({"tmux": r"300 \| less[\s\S]*?ready> ", "screen": "ready> "}[name])

    if name == "tmux":
        terminal.type(prefix + "%")
        terminal.expect(r"\x1b\[1;52H[^\n]*?ready> ")  # its own prompt
    else:
        terminal.type(prefix + "S" + prefix + "\t" + prefix + "c")
        terminal.expect(r" 1 shell[\s\S]*?ready> ")
    ran(terminal, "echo other-pane-$((1+1))", "pane-2")
    ran(terminal, "echo " + "wrapped-" * 9 + "$((1+1))", "wrapped-2")
    ran(terminal, "seq 1 60", "60")
    ran(terminal, "echo bottom-of-pane-$((1+1))", "pane-2")
    terminal.type(prefix + "c")
    terminal.expect("ready> ")
    ran(terminal, "echo second-window-$((1+1))", "window-2")

    terminal.type(prefix + "d")
    terminal.expect(r"\x1b\[\?1049l[\s\S]*detached[\s\S]*ready> ")
    ran(terminal, "echo outside-$((1+1))", "outside-2")
    line(terminal, {"tmux": "tmux attach", "screen": "screen -r"}[name], r"\x1b\[\?1049h[\s\S]*second-window-2[\s\S]*ready> ")
    ran(terminal, "echo attached-again-$((1+1))", "again-2")
    terminal.type(prefix + "d")
    terminal.expect(r"\x1b\[\?1049l[\s\S]*detached[\s\S]*ready> ")
    session = ended(cluster, terminal)

    listed = sorted(found(cluster, "--session=" + session, text="e"), key=lambda c: c["number"])
    got = [c["command"] for c in listed]
    wanted = ["echo plain-$((1+1))", "echo the-$((1+1))", "echo the-$((1+1))", "read -s -p Wo''rd:' ' PASSWORD", "seq 1 60", "echo at-the-bottom-$((1+1))",
              "vim.tiny note", "echo after-vim-$((1+1))", "seq 1 300 | less", "echo other-pane-$((1+1))", "echo " + "wrapped-" * 9 + "$((1+1))", "seq 1 60",
              "echo bottom-of-pane-$((1+1))", "echo second-window-$((1+1))", "echo outside-$((1+1))", "echo attached-again-$((1+1))", "exit"]
    assert [c for c in got if not c.startswith(("env ", "'env'", "cd ", "screen", "tmux"))] == wanted
    assert not found(cluster, text=SECRET) and not found(cluster, text="in vim") and not found(cluster, text="in less")


def test_exec_is_found(cluster):
    cluster.msh("ssh", f"{cluster.login}@web-01", "printf exec-$((1+1)) needle")
    command = until(lambda: found(cluster, text="$((1+1)) NEEDLE"), "the command")[0]
    assert (command["kind"], command["offset_ms"], command["command"]) == ("exec", 0, "printf exec-$((1+1)) needle")


def test_filters_and_pages(cluster, edited):
    assert found(cluster, "--user=bob", text="plain-command") == []
    assert found(cluster, "--node=nowhere", text="plain-command") == []
    assert found(cluster, "--until=1h", text="plain-command") == []
    assert found(cluster, "--since=1h", "--user=alice", "--node=web-01", text="plain-command")
    assert len(found(cluster, "--limit=2", text="echo")) == 2
    assert len({c["number"] for c in found(cluster, "--limit=1500", text="echo")}) == len(found(cluster, text="echo"))
    wrong = cluster.mezctl("recordings", "search", "x", "--since=never", check=False)
    assert wrong.returncode == 1 and b"neither a duration ago" in wrong.stderr
    assert b"no command like that" in cluster.mezctl("recordings", "search", "no-such-thing-at-all", check=False).stderr


def test_text_within_a_session(cluster, edited):
    shown = cluster.mezctl("recordings", "search", edited, "AT THE FRONT")
    assert "OFFSET" in shown and "at the front x" in shown
    lines = json.loads(cluster.mezctl("recordings", "search", edited, "corrected", "--format=json"))
    assert {"session_id", "offset_ms", "line"} == set(lines[0]) and lines[0]["session_id"] == edited


def as_user(cluster, user: str, *arguments, **options):
    token = cluster.mezctl("login", f"--username={user}", "--password=a good long password", f"--auth-server=127.0.0.1:{cluster.grpc}", f"--ca-pin={cluster.pin()}").strip()
    return cluster.run([BIN / "mezctl", f"--auth-server=127.0.0.1:{cluster.grpc}", f"--ca-pin={cluster.pin()}", f"--token={token}", *arguments], **options)


def test_users_find_their_own_auditors_all(cluster, edited):
    own = json.loads(as_user(cluster, "alice", "recordings", "search", "plain-command", "--format=json"))
    assert own and {c["user"] for c in own} == {"alice"}
    assert json.loads(as_user(cluster, "bob", "recordings", "search", "plain-command", "--format=json")) == []
    refused = as_user(cluster, "bob", "recordings", "search", "plain-command", "--user=alice", check=False)
    assert refused.returncode == 1 and b"plain" not in refused.stdout
    hidden = as_user(cluster, "bob", "recordings", "search", edited, "plain", check=False)
    assert hidden.returncode == 1 and b"no recording" in hidden.stderr
    cluster.wait_audit("authz.denied", lambda e: e["user_name"] == "bob" and e["resource_type"] == "recordings")
    assert json.loads(as_user(cluster, "carol", "recordings", "search", "plain-command", "--format=json"))
    event = cluster.wait_audit("session.recording.searched", lambda e: e["user_name"] == "carol")
    assert "plain-command" in json.dumps(event["details"])
    assert as_user(cluster, "carol", "recordings", "index", check=False).returncode == 1


def test_index_is_made_again(cluster, edited):
    before = commands(cluster, edited)
    with sqlite3.connect(f"{cluster.data}/mezhub.db", timeout=10) as database:
        database.execute("DELETE FROM recorded_sessions")
        database.execute("DELETE FROM recorded_commands")
        database.execute("INSERT INTO recorded_command_text (recorded_command_text) VALUES ('rebuild')")
    missing = cluster.mezctl("recordings", "search", "plain-command", check=False)
    assert b"not in the index yet" in missing.stderr
    assert "recordings indexed" in cluster.mezctl("recordings", "index")
    assert commands(cluster, edited) == before
    assert "1 recordings indexed" in cluster.mezctl("recordings", "index", edited)
    assert commands(cluster, edited) == before


def test_removing_a_recording_removes_its_commands(cluster):
    cluster.msh("ssh", f"{cluster.login}@web-01", "echo removed-needle")
    session = until(lambda: found(cluster, text="removed-needle"), "the command")[0]["session_id"]
    cluster.mezctl("recordings", "rm", session, "--yes")
    assert found(cluster, text="removed-needle") == []
