"""Every way out of a recording that users of other products have found: each is recorded like anything else."""
import base64
import hashlib
import json
import re
import subprocess

from harness.terminal import Terminal
from harness.wait import until


def wait_for(cluster, match) -> dict:
    return cluster.wait_recording(match)


def text_of(cluster, recording: dict) -> str:
    return cluster.mezctl("recordings", "export", recording["session_id"], "--format=text")


def test_way_out_exec_without_a_terminal(cluster):
    cluster.ssh("alice", "web-01", "echo exec-$((1+1)); echo err-$((1+1)) >&2")
    text = text_of(cluster, wait_for(cluster, lambda r: "exec-" in r.get("command", "")))
    assert "exec-2" in text and "err-2" in text


def test_way_out_forced_terminal_and_rcfile(cluster):
    for number, command in enumerate(("bash --norc --noprofile", "bash --rcfile /dev/null", "env -i bash --norc", "sh")):
        terminal = Terminal(cluster.ssh_argv("alice", "web-01", command, options=("-tt",)))
        terminal.expect(r"[$#] ")
        terminal.type(f"echo out-{number}-$((40+2)); exit\n")
        terminal.expect(f"out-{number}-42")
        terminal.wait()
        recording = wait_for(cluster, lambda r: r.get("command") == command)
        assert recording["kind"] == "pty" and f"out-{number}-42" in text_of(cluster, recording)


def test_way_out_terminal_without_a_shell_of_its_own(cluster):
    """A terminal is asked for, and the input is what a script would send: typed or not, it is recorded."""
    done = subprocess.run(cluster.ssh_argv("alice", "web-01", options=("-tt",)), input=b"echo piped-$((40+2)); exit\n", capture_output=True, timeout=60)
    assert b"piped-42" in done.stdout
    wait_for(cluster, lambda r: r["kind"] == "pty" and not r.get("command") and "piped-42" in text_of(cluster, r))


def test_way_out_input_of_a_command(cluster):
    cluster.ssh("alice", "web-01", "bash -s way-out-stdin", stdin="echo from-stdin-$((40+2))\n")
    recording = wait_for(cluster, lambda r: "way-out-stdin" in r.get("command", ""))
    assert "from-stdin-42" in text_of(cluster, recording)
    lines = cluster.mezctl("recordings", "export", recording["session_id"], "--format=asciicast", "--input").splitlines()[1:]
    assert any(kind == "i" and "from-stdin-$((40+2))" in data for _, kind, data in map(json.loads, lines))


def test_way_out_storm_of_resizes(cluster):
    terminal = Terminal(cluster.ssh_argv("alice", "web-01"))
    terminal.expect(r"[$#] ")
    for number in range(500):
        terminal.resize(20 + number % 50, 60 + number % 90)
    terminal.resize(33, 77)
    terminal.type('until [ "$(stty size)" = "33 77" ]; do :; done; echo storm-$((40+2)); exit\n')
    terminal.expect("storm-42")
    terminal.wait()
    recording = wait_for(cluster, lambda r: r["kind"] == "pty" and "storm-42" in text_of(cluster, r))
    lines = cluster.mezctl("recordings", "export", recording["session_id"], "--format=asciicast").splitlines()[1:]
    sizes = [data for _, kind, data in map(json.loads, lines) if kind == "r"]
    assert sizes[-1] == "77x33"


def test_way_out_flood_of_output_keeps_every_byte(cluster):
    """More than any screen shows, as fast as it goes; bytes that are no text."""
    size = 60_000_000
    command = f"openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff -iv 00 -in /dev/zero 2>/dev/null | head -c {size}"
    done = cluster.run(cluster.ssh_argv("alice", "web-01", command), check=False)
    assert len(done.stdout) == size
    recording = wait_for(cluster, lambda r: r.get("command") == command)
    assert recording["size_bytes"] > size
    stored = cluster.data / "recordings" / f"{recording['session_id']}.mezrec"
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == recording["sha256"] and not recording.get("problem")
    # What does not compress is stored as it is: the bytes are there to be found.
    assert done.stdout[30_000_000:30_000_064] in stored.read_bytes()


def test_way_out_invalid_utf8_and_control_bytes(cluster):
    noise = bytes(range(256)) * 4
    command = f"echo {base64.b64encode(noise).decode()} | base64 -d"
    done = cluster.run(cluster.ssh_argv("alice", "web-01", command), check=False)
    assert done.stdout == noise
    recording = wait_for(cluster, lambda r: r.get("command") == command)
    lines = cluster.mezctl("recordings", "export", recording["session_id"], "--format=asciicast").splitlines()
    assert all(json.loads(line) for line in lines), "asciicast is JSON whatever the bytes were"
    text = text_of(cluster, recording)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text.replace("\r", ""))


def test_way_out_background_program_that_outlives_its_session(cluster):
    """What goes on after the session has ended has no terminal to show anything on; what it showed before is recorded."""
    cluster.ssh("alice", "web-01", "echo before-way-out; nohup sleep 0.1 >/dev/null 2>&1 &")
    recording = wait_for(cluster, lambda r: "before-way-out" in r.get("command", ""))
    assert "before-way-out" in text_of(cluster, recording)
    until(lambda: [e for e in cluster.audit("--type=session.end") if e["session_id"] == recording["session_id"]], "its end in the log")
