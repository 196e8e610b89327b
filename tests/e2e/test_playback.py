"""Recordings are played: on a terminal with keys, into a pipe, from a file; and what removes one."""
import json
import os
import signal
import termios
import time

import pytest
from harness.cluster import BIN
from harness.terminal import Terminal
from harness.wait import until

SECONDS_BETWEEN = 3


@pytest.fixture(scope="module", autouse=True)
def bob(cluster):
    cluster.user("bob", "developer")
    cluster.login_as("bob")


@pytest.fixture(scope="module")
def session(cluster):
    """The id of a session of alice on a terminal: 'mark-one', a pause, 'mark-two', and sequences a player must keep back."""
    terminal = Terminal(cluster.ssh_argv("alice", "web-01"))
    terminal.expect(r"[$#] ")
    terminal.type("echo mark-$((0+1))-a; printf '\\033]52;c;c2VjcmV0\\007\\033[6n\\033[c\\033[21t'; sleep %d; echo mark-$((1+1))-b; exit\n" % SECONDS_BETWEEN)
    terminal.expect(r"mark-2-b")
    terminal.wait()
    return cluster.wait_recording(lambda r: r["kind"] == "pty" and r["complete"] and r["user"] == "alice")["session_id"]


def player(cluster, *arguments) -> Terminal:
    return Terminal([BIN / "msh", "play", *arguments], env={"MSH_HOME": str(cluster.dir / "msh-alice"), "HOME": str(cluster.dir)})


def modes(terminal: Terminal):
    return termios.tcgetattr(terminal.fd)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)


def test_list_shows_the_users_own(cluster, session):
    listed = json.loads(cluster.msh("recordings", "ls", "--format=json"))
    assert session in [r["session_id"] for r in listed] and {r["user"] for r in listed} == {"alice"}
    assert session in cluster.msh("recordings", "ls", "--since=1h", "--node=web-01")
    assert json.loads(cluster.msh("recordings", "ls", "--until=1h", "--format=json")) == []
    refused = cluster.msh("recordings", "ls", "--since=yesterday", check=False)
    assert refused.returncode == 1 and b"neither a duration ago" in refused.stderr


def test_plays_into_a_pipe_without_what_makes_terminals_answer(cluster, session):
    out = cluster.msh("play", session, "--speed=100", "--skip-idle=100ms")
    assert "mark-1-a" in out and "mark-2-b" in out
    for forbidden in ("\033]52", "\033[6n", "\033[c", "\033[21t"):
        assert forbidden not in out


def test_time_is_the_sessions_time(cluster, session):
    began = time.monotonic()
    cluster.msh("play", session, "--speed=1")
    assert time.monotonic() - began >= 0.6 * 2, "into a pipe pauses are shortened to two seconds, not left out"
    began = time.monotonic()
    cluster.msh("play", session, f"--at={SECONDS_BETWEEN}s")
    assert time.monotonic() - began < 2 + SECONDS_BETWEEN


def test_keys(cluster, session):
    shown = player(cluster, session)
    before = modes(shown)
    shown.expect("space pauses")
    shown.expect("mark-1-a\r\n")
    shown.type(" ")
    shown.expect("paused")
    assert modes(shown) == 0, "keys are read as they are pressed"
    shown.nothing_more(1.2 * SECONDS_BETWEEN)
    shown.type("++")
    shown.expect("x4")
    shown.type(" \033[C")  # goes on, and five seconds forward
    shown.expect("mark-2-b")
    assert shown.wait() == 0
    assert modes(shown) == before


def test_seeks_back_and_quits(cluster, session):
    shown = player(cluster, session, "--speed=0.1")
    shown.expect("mark-1-a\r\n")
    shown.type(" \033[D")
    shown.expect(r"\x1b\[2J")  # the screen is drawn anew
    shown.type(" \033[C")
    shown.expect("mark-1-a\r\n")
    shown.type("q")
    assert shown.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(cluster, session, number):
    shown = player(cluster, session, "--speed=0.1")
    before = modes(shown)
    shown.expect("mark-1-a\r\n")
    until(lambda: modes(shown) == 0, "raw keys")
    os.kill(shown.pid, number)
    assert shown.wait() == -number
    assert modes(shown) == before


def test_plays_a_file(cluster, session, tmp_path):
    source = cluster.data / "recordings" / f"{session}.mezrec"
    copy = tmp_path / "copy.mezrec"
    copy.write_bytes(source.read_bytes())
    assert "mark-2-b" in cluster.mezctl("recordings", "play", copy, "--speed=100", "--skip-idle=1ms")
    bad = bytearray(source.read_bytes())
    bad[-200] ^= 1
    copy.write_bytes(bad)
    damaged = cluster.mezctl("recordings", "play", copy, "--speed=100", "--skip-idle=1ms", check=False)
    assert damaged.returncode == 1 and b"was altered" in damaged.stderr
    (tmp_path / "none.mezrec").write_text("not a recording")
    assert b"no recording of Mezite" in cluster.msh("play", tmp_path / "none.mezrec", check=False).stderr


def test_others_do_not_see_it(cluster, session):
    for arguments in (("play", session), ("recordings", "ls", "--user=alice")):
        refused = cluster.msh(*arguments, user="bob", check=False)
        assert refused.returncode == 1 and b"mark-" not in refused.stdout
    denied = cluster.wait_audit("authz.denied", lambda e: e["user_name"] == "bob" and e["resource_type"] == "recordings")
    assert denied["success"] is False
    nothing = cluster.msh("play", "00000000-0000-4000-8000-000000000000", user="bob", check=False)
    hidden = cluster.msh("play", session, user="bob", check=False)
    assert nothing.stderr.replace(b"00000000-0000-4000-8000-000000000000", session.encode()) == hidden.stderr


def test_playing_is_audited(cluster, session):
    cluster.msh("play", session, "--speed=100", "--skip-idle=1ms")
    cluster.wait_audit("session.recording.accessed", lambda e: e["user_name"] == "alice" and e["session_id"] == session)


def test_removing_asks_first(cluster):
    cluster.msh("ssh", f"{cluster.login}@web-01", "echo to-be-removed")
    victim = cluster.wait_recording(lambda r: r["command"] == "echo to-be-removed" and r["complete"])["session_id"]
    unasked = cluster.mezctl("recordings", "rm", victim, check=False)
    assert unasked.returncode == 1 and b"--yes" in unasked.stderr
    asked = Terminal([BIN / "mezctl", f"--socket={cluster.data}/admin.sock", "recordings", "rm", victim])
    asked.expect(r"recording of alice .* for good\? \[y/N\] ")
    asked.type("n\n")
    assert asked.wait() == 1
    assert victim in [r["session_id"] for r in cluster.recordings()]
    assert "removed" in cluster.mezctl("recordings", "rm", victim, "--yes")
    assert victim not in [r["session_id"] for r in cluster.recordings()]
    event = cluster.wait_audit("session.recording.deleted", lambda e: e["session_id"] == victim)
    details = event["details"] if isinstance(event["details"], dict) else json.loads(event["details"])
    assert details["user"] == "alice"
