"""Which commands were run in recorded sessions: found across sessions and within one, by those who may."""
import json
import sqlite3

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
