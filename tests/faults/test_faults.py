"""kill -9, a full disk, a clock that jumps: every acknowledged event is there, and the chain verifies. The incident that these
guard against: Teleport issue 65895, events and recordings that were gone after a crash or on a full disk."""
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from harness.clocks import LIBRARY, needs_faketime
from harness.cluster import BIN, ROOT
from harness.process import Process
from harness.wait import until

from .kill_rounds import run as run_kill_rounds



def test_teleport_65895_kill_9_at_random_moments():
    done = run_kill_rounds(int(os.environ.get("MEZITE_KILL_ROUNDS", "20")), seed=20261122, say=print)
    assert done["acknowledged"]["users"] > 0 and done["acknowledged"]["sessions"] > 0, done
    assert done["kills"]["hub"] > 5 and done["kills"]["agent"] > 3, done
    assert done["verify"].startswith("ok"), done
    assert done["recordings"]["sessions"] > 0 and done["recordings"]["lines"] > 0, done


class SmallDisk:
    """A tmpfs of a few megabytes that only processes of one mount namespace see."""

    def __init__(self, where: Path, megabytes: int):
        where.mkdir(parents=True, exist_ok=True)
        script = f"mount -t tmpfs -o size={megabytes}m,mode=0700 tmpfs {where} && echo ready && exec sleep infinity"
        self.holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ready\n"
        self.inside = Path(f"/proc/{self.holder.pid}/root{where}")
        self.filler = self.inside / "filler"

    def command(self, *argv) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", *map(str, argv)]

    def fill(self):
        with open(self.filler, "ab", buffering=0) as out:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        out.write(b"x" * size)
                except OSError:
                    pass

    def free(self):
        self.filler.unlink()

    def close(self):
        self.holder.kill()
        self.holder.wait()


@pytest.fixture
def small_disk():
    if os.getuid() != 0:
        pytest.skip("mounting needs root")
    made = []

    def make(where: Path, megabytes: int) -> SmallDisk:
        made.append(SmallDisk(where, megabytes))
        return made[-1]

    yield make
    for disk in made:
        disk.close()


def assert_documented(cluster):
    """Each event in the log is of a type and code of docs/audit-events.md, with no details but those named there."""
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| .* \| ([^|]*) \|$", (ROOT / "docs" / "audit-events.md").read_text(), re.M)
    documented = {(kind, code): set(re.findall(r"`([^`]+)`", details)) for kind, code, details in rows}
    assert len(documented) > 80
    for event in cluster.audit("--limit=100000"):
        known = documented.get((event["event_type"], event["event_code"]))
        assert known is not None, f"docs/audit-events.md does not have {event['event_type']} {event['event_code']}"
        unknown = set(event["details"]) - known - {"cut", "text"}
        assert not unknown, f"docs/audit-events.md does not have {unknown} in the details of {event['event_type']}"


def create(cluster, name: str) -> subprocess.CompletedProcess:
    return cluster.mezctl("users", "create", name, "--roles=access", check=False)


def created(cluster) -> set[str]:
    return {e["resource_name"] for e in cluster.audit("--type=user.created", "--limit=10000")}


def test_teleport_65895_hub_on_a_full_disk_acknowledges_nothing_that_it_lost(fresh, small_disk):
    cluster = fresh(start=False)
    disk = small_disk(cluster.data, 12)
    cluster.data = disk.inside  # the socket, as seen from out here
    cluster.hub = Process("mezhub", disk.command(BIN / "mezhub", f"--config={cluster.config_file}"), cluster.dir / "mezhub.log", cluster.hub_env)
    cluster.wait_healthy()
    acknowledged = [f"before{i}" for i in range(3) if create(cluster, f"before{i}").returncode == 0]
    assert len(acknowledged) == 3
    for attempt in range(2):
        disk.fill()
        refused = None
        for i in range(400):  # the write-ahead log has some room of its own
            done = create(cluster, f"full{attempt}x{i}")
            if done.returncode != 0:
                refused = done
                break
            acknowledged.append(f"full{attempt}x{i}")
            disk.fill()
        assert refused is not None, "the disk was never full"
        assert b"full" in refused.stderr or b"write" in refused.stderr, refused.stderr
        assert cluster.hub.running()
        if attempt == 1:
            cluster.hub.kill()
            disk.free()
            cluster.hub.start()
            cluster.wait_healthy()
        else:
            disk.free()
        until(lambda: create(cluster, f"after{attempt}x{time.monotonic_ns()}").returncode == 0, "the hub to write again")
        assert set(acknowledged) <= created(cluster)
        assert cluster.mezctl("audit", "verify").startswith("ok")


def test_teleport_65895_agent_on_a_full_disk_still_tells_of_its_sessions(fresh, small_disk):
    cluster = fresh()
    cluster.role("developer", {"node_labels": {"env": ["dev"]}, "logins": [cluster.login]})
    cluster.user("alice", "developer")
    disk = small_disk(cluster.dir / "web-01", 4)
    env = cluster.agent_env("web-01", MEZITE_JOIN_TOKEN=cluster.token())
    agent = cluster.agents["web-01"] = Process("mezd web-01", disk.command(BIN / "mezd"), cluster.dir / "web-01.log", env)
    cluster.wait_connected("web-01")
    cluster.login_as("alice")
    cluster.ssh("alice", "web-01", "echo before")
    disk.fill()
    said = []
    for i in range(5):
        done = cluster.ssh("alice", "web-01", f"echo full{i}", check=False)
        if f"full{i}".encode() in done.stdout:
            said.append(f"echo full{i}")
    # Let in or not, it is in the log: from memory, as the hub is there.
    disk.free()
    cluster.ssh("alice", "web-01", "echo after")
    started = lambda: {e["details"].get("command") for e in cluster.audit("--type=session.start")}  # noqa: E731
    until(lambda: {"echo before", "echo after", *said} <= started(), "the sessions in the log")
    assert_documented(cluster)
    assert agent.running()
    assert cluster.mezctl("audit", "verify").startswith("ok")


@needs_faketime
def test_teleport_65895_clock_that_jumps_leaves_order_and_chain(fresh):
    cluster = fresh(start=False)
    offset = cluster.dir / "offset"

    def step(text: str):
        fresh_file = offset.with_suffix(".new")
        fresh_file.write_text(text + "\n")
        fresh_file.rename(offset)

    step("+0d")
    cluster.hub_env |= {"LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1",
                        "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    cluster.start_hub()
    names = []
    for number, by in enumerate(("+0d", "+1d", "-3d", "+400d", "-0d", "-400d", "+2h", "-2h")):
        step(by)
        for i in range(3):
            names.append(f"step{number}x{i}")
            done = create(cluster, names[-1])
            assert done.returncode == 0, done.stderr
        if number % 3 == 2:
            cluster.hub.kill()
            cluster.hub.start()
            cluster.wait_healthy()
    events = cluster.audit("--type=user.created", "--limit=1000")
    assert {e["resource_name"] for e in events} >= set(names)
    times = [e["timestamp"] for e in events]
    assert times == sorted(times, reverse=True), "a list is in the order of time, whenever it was written"
    assert_documented(cluster)
    assert max(times)[:4] > min(times)[:4], "the clock did not jump"
    assert cluster.mezctl("audit", "verify").startswith("ok")
