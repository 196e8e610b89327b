"""Sessions are recorded, listed, played and exported; what an accident leaves is kept."""
import json
import os
import re
from pathlib import Path

from harness.terminal import Terminal
from harness.wait import until


def test_command_is_recorded(cluster):
    cluster.ssh("alice", "web-01", "echo recorded-$((40+2)); echo to-err >&2", check=False)
    recording = cluster.wait_recording(lambda r: "recorded" in r.get("command", ""))
    assert (recording["user"], recording["login"], recording["node"], recording["kind"]) == ("alice", cluster.login, "web-01", "exec")
    text = cluster.mezctl("recordings", "export", recording["session_id"], "--format=text")
    assert "recorded-42" in text and "to-err" in text


def test_terminal_is_recorded_and_plays(cluster, tmp_path):
    terminal = Terminal(cluster.ssh_argv("alice", "web-01"), rows=30, columns=90)
    terminal.expect(r"[$#] ")
    terminal.type("echo first-$((1+1)); stty size\n")
    terminal.expect(r"30 90")
    terminal.resize(41, 111)
    terminal.type('until [ "$(stty size)" = "41 111" ]; do :; done; echo now-$(stty size); exit\n')
    terminal.expect(r"now-41 111")
    terminal.wait()
    recording = cluster.wait_recording(lambda r: r["kind"] == "pty")
    played = cluster.mezctl("recordings", "play", recording["session_id"], "--speed=100")
    assert "first-2" in played and "30 90" in played
    cast = tmp_path / "session.cast"
    cast.write_text(cluster.mezctl("recordings", "export", recording["session_id"], "--format=asciicast"))
    header, *lines = [json.loads(line) for line in cast.read_text().splitlines()]
    assert (header["version"], header["width"], header["height"]) == (2, 90, 30)
    assert any(kind == "o" and "first-2" in data for _, kind, data in lines)
    assert any(kind == "r" and data == "111x41" for _, kind, data in lines)
    shown = Terminal(["asciinema", "cat", cast], env={"LANG": "C.UTF-8", "HOME": str(tmp_path)})
    shown.expect("first-2")
    assert shown.wait() == 0


def test_session_events_tell_the_story(cluster):
    cluster.msh("ssh", f"{cluster.login}@web-01", "exit 3", check=False)
    end = cluster.wait_audit("session.end", lambda e: '"exit_code":3' in json.dumps(e["details"]).replace(" ", "").replace("\\", ""))
    start = next(e for e in cluster.audit("--type=session.start") if e["session_id"] == end["session_id"])
    assert start["event_code"] == "T2000I"
    assert (start["user_name"], start["resource_name"], start["client_ip"]) == ("alice", "web-01", "127.0.0.1")
    assert start["user_roles"] == ["developer"]
    cluster.wait_audit("session.recording.uploaded", lambda e: e["session_id"] == end["session_id"])


def test_agent_killed_in_mid_session(cluster):
    """Teleport issue 65895: what was flushed before the accident is uploaded after it."""
    agent = cluster.start_agent("fragile")
    terminal = Terminal(cluster.ssh_argv("alice", "fragile"))
    terminal.expect(r"[$#] ")
    terminal.type("echo before-the-crash-$((6*7))\n")
    terminal.expect(r"before-the-crash-42")
    spool = cluster.dir / "fragile" / "spool"
    sizes = lambda: {p: p.stat().st_size for p in spool.rglob("*.mezrec")}  # noqa: E731
    before = until(sizes, "a spooled recording")
    # One more line, and then wait until the flush after it is on disk: the first line is in an earlier or the same one.
    terminal.type("echo marker\n")
    terminal.expect(r"marker\r\n")
    until(lambda: any(size > before.get(path, 0) for path, size in sizes().items()), "a flush")
    agent.kill()
    terminal.wait()
    agent.start()
    cluster.wait_connected("fragile")
    recording = until(lambda: [r for r in cluster.recordings() if r["node"] == "fragile" and r["size_bytes"]], "the recording of the lost session")[0]
    until(lambda: "before-the-crash-42" in cluster.mezctl("recordings", "export", recording["session_id"], "--format=text", check=False).stdout.decode(),
          "what was on the screen before the crash")
    until(lambda: not list(spool.rglob("*.mezrec")), "the spool to be empty after a verified receipt")


def test_hub_restart(fresh):
    """The agent comes back by itself, sessions go on being possible, the audit chain is whole."""
    cluster = fresh()
    cluster.role("developer", {"node_labels": {"*": "*"}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    cluster.start_agent("web-01")
    cluster.login_as("alice")
    assert cluster.ssh("alice", "web-01", "echo one").strip() == "one"
    cluster.restart_hub()
    cluster.wait_connected("web-01")
    assert cluster.ssh("alice", "web-01", "echo two").strip() == "two"
    cluster.hub.kill()
    cluster.hub.start()
    cluster.wait_healthy()
    cluster.wait_connected("web-01")
    assert cluster.ssh("alice", "web-01", "echo three").strip() == "three"
    until(lambda: sum(r["complete"] for r in cluster.recordings()) == 3, "three recordings")
    assert re.search(r"(?i)\bok\b|intact|verif", cluster.mezctl("audit", "verify"))


def test_events_of_an_agent_without_hub_arrive_later(fresh):
    """Nothing acknowledged is lost: the end of a session that the hub did not see is told when it is back."""
    cluster = fresh()
    cluster.role("developer", {"node_labels": {"*": "*"}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    cluster.start_agent("web-01")
    cluster.login_as("alice")
    terminal = Terminal(cluster.ssh_argv("alice", "web-01"))
    terminal.expect(r"[$#] ")
    cluster.wait_audit("session.start")
    cluster.hub.kill()
    terminal.wait()
    cluster.hub.start()
    cluster.wait_healthy()
    start = cluster.wait_audit("session.start")
    cluster.wait_audit("session.end", lambda e: e["session_id"] == start["session_id"])
    cluster.wait_recording(lambda r: r["session_id"] == start["session_id"])


def test_uploads_give_way_to_sessions(cluster):
    """Hashing and sending what was recorded waits for what sessions need now, and makes nothing else wait."""
    cluster.ssh("alice", "web-01", "head -c 300000 /dev/urandom | wc -c")
    start = cluster.wait_audit("session.end")
    cluster.wait_recording(lambda r: r["session_id"] == start["session_id"])
    agent = cluster.agents["web-01"].pid
    nice = {}
    for task in Path(f"/proc/{agent}/task").iterdir():
        # The name stands in parentheses and may hold anything; the 19th field, from the 3rd on behind it.
        rest = (task / "stat").read_text().rpartition(")")[2].split()
        nice.setdefault((task / "comm").read_text().strip(), set()).add(int(rest[16]))
    uploads = nice.pop("uploads")
    own = os.getpriority(os.PRIO_PROCESS, agent)
    assert uploads == {min(own + 10, 19)} and set().union(*nice.values()) == {own}, (uploads, nice)
