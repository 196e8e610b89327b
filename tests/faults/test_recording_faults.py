"""Full disks and clocks that jump, as far as recordings go. The incident that these guard against: Teleport issue 65895,
recordings that were gone after a crash, or when a disk was full."""
import json
import re

from harness.clocks import LIBRARY, needs_faketime
from harness.cluster import BIN
from harness.process import Process
from harness.terminal import Terminal
from harness.wait import until

from .test_faults import small_disk  # noqa: F401: a fixture

NOISE = "head -c 100000 /dev/urandom | base64 -w 76; echo printed-$((40+2))\n"


def site(fresh, small_disk, megabytes: int, options: dict | None = None, **env):  # noqa: F811
    """A cluster whose agent has a small disk."""
    cluster = fresh()
    cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]}, options=options)
    cluster.user("alice", "developer")
    disk = small_disk(cluster.dir / "web-01", megabytes)
    agent_env = cluster.agent_env("web-01", MEZITE_JOIN_TOKEN=cluster.token(), **env)
    cluster.agents["web-01"] = Process("mezd web-01", disk.command(BIN / "mezd"), cluster.dir / "web-01.log", agent_env)
    cluster.wait_connected("web-01")
    cluster.login_as("alice")
    cluster.ssh("alice", "web-01", "true")
    return cluster, disk


def text_of(cluster, session: str) -> str:
    return cluster.mezctl("recordings", "export", session, "--format=text")


def test_teleport_65895_disk_fills_in_mid_session_and_the_session_goes_on(fresh, small_disk):  # noqa: F811
    cluster, disk = site(fresh, small_disk, 6)
    terminal = Terminal(cluster.ssh_argv("alice", "web-01"))
    terminal.expect(r"[$#] ")
    terminal.type("echo before-$((1+1))\n")
    terminal.expect("before-2")
    live = until(lambda: list((disk.inside / "spool").glob("*.live.mezrec")), "the recording")[0]
    flushed = live.stat().st_size
    until(lambda: live.stat().st_size > flushed or flushed > 1000, "the line to be written")
    disk.fill()
    terminal.type(NOISE)
    terminal.expect("printed-42", timeout=60)
    failed = cluster.wait_audit("session.recording.failed", lambda e: e["details"].get("while") == "recording")
    assert re.search("(?i)no space", failed["error_message"]), failed
    disk.free()
    terminal.type("exit\n")
    terminal.wait()
    recording = cluster.wait_recording(lambda r: r["session_id"] == failed["session_id"])
    assert not recording.get("problem"), "whole segments only"
    assert "before-2" in text_of(cluster, recording["session_id"])


def test_teleport_65895_strict_ends_the_session_when_the_disk_is_full(fresh, small_disk):  # noqa: F811
    cluster, disk = site(fresh, small_disk, 6, options={"record_session": "strict"})
    terminal = Terminal(cluster.ssh_argv("alice", "web-01"))
    terminal.expect(r"[$#] ")
    disk.fill()
    terminal.type(NOISE)
    terminal.wait()
    failed = cluster.wait_audit("session.recording.failed", lambda e: e["details"].get("while") == "recording")
    end = cluster.wait_audit("session.end", lambda e: e["session_id"] == failed["session_id"])
    assert end["details"]["reason"] == "the session can't be recorded any more"
    refused = cluster.ssh("alice", "web-01", "echo never", check=False)
    assert refused.returncode == 255 and b"can't be recorded" in refused.stderr and b"never" not in refused.stdout
    disk.free()
    assert cluster.ssh("alice", "web-01", "echo again").strip() == "again"


def test_teleport_65895_full_disk_of_the_hub_keeps_recordings_at_the_node(fresh, small_disk):  # noqa: F811
    cluster = fresh(start=False)
    # The recordings alone: the database has its own tests.
    disk = small_disk(cluster.data / "recordings", 4)
    cluster.hub = Process("mezhub", disk.command(BIN / "mezhub", f"--config={cluster.config_file}"), cluster.dir / "mezhub.log", cluster.hub_env)
    cluster.wait_healthy()
    cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    agent = cluster.start_agent("web-01")
    cluster.login_as("alice")
    cluster.ssh("alice", "web-01", "true")
    cluster.wait_recording()
    disk.fill()
    cluster.ssh("alice", "web-01", "head -c 200000 /dev/urandom | base64")
    line = agent.wait_logged("uploading session recording")
    assert re.search("(?i)no space", line["error"]), line
    spool = cluster.dir / "web-01" / "spool"
    assert (spool / f"{line['session']}.mezrec").exists()
    disk.free()
    recording = cluster.wait_recording(lambda r: r["session_id"] == line["session"])
    assert not recording.get("problem")
    until(lambda: not list(spool.glob("*.mezrec")), "the spool to be empty")


@needs_faketime
def test_teleport_65895_clock_of_the_node_that_jumps_leaves_order_and_length(fresh):
    cluster = fresh()
    cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    offset = cluster.dir / "offset"

    def step(text: str):
        new = offset.with_suffix(".new")
        new.write_text(text + "\n")
        new.rename(offset)

    step("+0")
    cluster.start_agent("web-01", LD_PRELOAD=str(LIBRARY), FAKETIME_TIMESTAMP_FILE=str(offset), FAKETIME_NO_CACHE="1",
                        FAKETIME_DONT_FAKE_MONOTONIC="1")
    cluster.login_as("alice")
    terminal = Terminal(cluster.ssh_argv("alice", "web-01"))
    terminal.expect(r"[$#] ")
    # Within what certificates bear with.
    for number, by in enumerate(("+50m", "-50s", "+20m", "-0s")):
        step(by)
        terminal.type(f"echo step-{number}-$((40+2))\n")
        terminal.expect(f"step-{number}-42")
    step("+0")
    terminal.type("exit\n")
    terminal.wait()
    recording = cluster.wait_recording(lambda r: r["kind"] == "pty")
    lines = cluster.mezctl("recordings", "export", recording["session_id"], "--format=asciicast").splitlines()[1:]
    times = [json.loads(line)[0] for line in lines]
    assert times == sorted(times) and times[-1] < 120, "times are those that passed"
    shown = "".join(json.loads(line)[2] for line in lines)
    places = [shown.index(f"step-{number}-42") for number in range(4)]
    assert places == sorted(places)
